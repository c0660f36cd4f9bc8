"""Load a model from a local folder, frozen and gated."""

from __future__ import annotations

from transformer_lens.model_bridge import TransformerBridge

from circuitviz.models.catalog import find_model
from circuitviz.models.checkpointing import recompute_layers
from circuitviz.models.devices import data_type, placement
from circuitviz.models.gates import install_gates
from circuitviz.models.model import GatedModel
from circuitviz.models.weights import check_tokenizer, loading

__all__ = ["load_model"]


def load_model(
    name_or_path: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    micro_batch: int | None = None,
    checkpointing: bool = False,
) -> GatedModel:
    """Load an embedded model by name, or a local Hugging Face folder by path.

    Nothing is downloaded and no code from the folder is run.

    Args:
        name_or_path: Which model.
        device: `auto`, `balanced` for all GPUs, or torch's name of a device; see `placement`.
        dtype: Of weights and activations, `float32` or `bfloat16`.
        micro_batch: Most rows of one forward-backward pass; None is no limit.
        checkpointing: Whether layers are computed again on the way back instead of kept.

    Raises:
        ModelNotFoundError: There is no such model.
        UnsupportedModelError: It has no chat template, or cannot be loaded or gated.
        ConfigError: There is no such device or dtype.
    """
    folder = find_model(name_or_path)
    where, numbers = placement(device), data_type(dtype)
    with loading(folder):
        bridge = TransformerBridge.boot_transformers(
            str(folder),
            dtype=numbers,
            **where,  # type: ignore[arg-type]  # `device` or `device_map`
        )
    tokenizer = bridge.tokenizer
    check_tokenizer(tokenizer, folder)
    bridge.eval()
    for parameter in bridge.parameters():
        parameter.requires_grad_(False)
    space = install_gates(bridge)
    if checkpointing:
        recompute_layers(bridge)
    return GatedModel(name_or_path, bridge, tokenizer, space, micro_batch=micro_batch)
