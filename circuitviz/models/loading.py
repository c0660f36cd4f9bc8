"""Load a model from a local folder, frozen and gated."""

from __future__ import annotations

import torch
from transformer_lens.model_bridge import TransformerBridge

from circuitviz.models.checkpointing import recompute_layers
from circuitviz.models.devices import data_type, placement
from circuitviz.models.gates import install_gates, unit_space
from circuitviz.models.generation import unembed_in_one_piece
from circuitviz.models.grouped_attention import share_keys
from circuitviz.models.model import GatedModel
from circuitviz.models.source import ModelSource, find_source
from circuitviz.models.support import require_supported
from circuitviz.models.weights import check_tokenizer, empty_model, loading, read_weights
from circuitviz.units import UnitSpace

__all__ = ["load_model", "made_ready", "units_of"]

# Where weights have shapes and no values.
META = "meta"


def load_model(
    name_or_path: str,
    *,
    adapter: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    micro_batch: int | None = None,
    checkpointing: bool = False,
) -> GatedModel:
    """Load an embedded model by name, a local Hugging Face folder by path, or a cached one by id.

    Nothing is downloaded and no code from the folder is run.

    Args:
        name_or_path: Which model; an adapter's folder stands for itself on top of its model.
        adapter: Folder of a LoRA adapter that is merged into the weights.
        device: `auto`, `balanced` for all GPUs, or torch's name of a device; see `placement`.
        dtype: Of weights and activations, `float32` or `bfloat16`.
        micro_batch: Most rows of one forward-backward pass; None is no limit.
        checkpointing: Whether layers are computed again on the way back instead of kept.

    Raises:
        ModelNotFoundError: There is no such model or adapter.
        UnsupportedModelError: It has no chat template, or cannot be loaded or gated, or the
            adapter does not fit.
        ConfigError: There is no such device or dtype.
    """
    source = find_source(name_or_path, adapter)
    require_supported(source.base)
    bridge = _bridge(source, placement(device), data_type(dtype))
    tokenizer = bridge.tokenizer
    check_tokenizer(tokenizer, source.tokenizer)
    bridge.eval()
    for parameter in bridge.parameters():
        parameter.requires_grad_(False)
    space = made_ready(bridge)
    if checkpointing:
        recompute_layers(bridge)
    return GatedModel(name_or_path, bridge, tokenizer, space, micro_batch=micro_batch)


def made_ready(bridge: TransformerBridge) -> UnitSpace:
    """Put gate hooks on a model and let it attend and unembed the quick way, once; its units.

    Raises:
        UnsupportedModelError: It has no separate heads and MLP neurons to gate.
    """
    space = install_gates(bridge)
    share_keys(bridge)
    unembed_in_one_piece(bridge.original_model)
    return space


def units_of(source: ModelSource) -> UnitSpace | None:
    """The units that loading finds, told without weights; None where only weights tell them.

    Raises:
        UnsupportedModelError: Loading would refuse it.
    """
    with loading(source.base):
        try:
            bridge = TransformerBridge.boot_transformers(
                str(source.tokenizer), hf_model=empty_model(source.base), device=META
            )
        except NotImplementedError as error:
            # Fused projections are split by value.
            if "meta device" in str(error):
                return None
            raise
    return unit_space(bridge)


def _bridge(source: ModelSource, where: dict[str, str], dtype: torch.dtype) -> TransformerBridge:
    # Read here and not by the bridge, which would take a pickle and whose names for parameters no
    # adapter knows.
    plain = read_weights(source, dtype=dtype, where=where)
    with loading(source.base):
        # Of a model in memory the name is used for the tokenizer alone.
        return TransformerBridge.boot_transformers(
            str(source.tokenizer), hf_model=plain, dtype=dtype, device=where.get("device")
        )
