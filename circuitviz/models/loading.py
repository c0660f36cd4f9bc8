"""Load a model from a local folder, frozen and gated.

With `recompute_layers`, layers are computed again on the way back, so that their activations need
not be kept (Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174).  A
layer that is computed again has to see the gates that it saw the first time; by then those are no
longer in force, and the thread may be another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformer_lens.model_bridge import TransformerBridge

from circuitviz.errors import ConfigError
from circuitviz.models.checkpoint import require_none
from circuitviz.models.gates import gated, gates_in_force, install_gates, unit_space
from circuitviz.models.generation import unembed_in_one_piece
from circuitviz.models.grouped_attention import share_keys
from circuitviz.models.model import GatedModel
from circuitviz.models.source import ModelSource, find_source
from circuitviz.models.support import config_refusals
from circuitviz.models.weights import empty_model, loading, read_weights, tokenizer_refusals
from circuitviz.units import UnitSpace

# Spread the layers over all GPUs.
_BALANCED = "balanced"


def placement(device: str) -> dict[str, str]:
    """The argument of a loader, `device` or `device_map`, for a device named by a user.

    Args:
        device: `auto` takes the first GPU, where there is one, and else the CPU; `balanced` spreads
            the layers over all GPUs; anything else is torch's own name of a device.

    Raises:
        ConfigError: There is no such device here.
    """
    gpus = torch.cuda.device_count()
    if device == "auto":
        return {"device": "cuda" if gpus else "cpu"}
    if device == _BALANCED:
        if not gpus:
            raise ConfigError(
                "device balanced spreads a model over GPUs, and none is here; use cpu"
            )
        return {"device_map": _BALANCED}
    try:
        wanted = torch.device(device)
        torch.empty(0, device=wanted)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        here = ", ".join(["cpu", *(f"cuda:{index}" for index in range(gpus))])
        raise ConfigError(
            f"device must be auto, balanced or one of {here} on this machine; got {device!r}"
        ) from error
    return {"device": str(wanted)}


def data_type(name: str) -> torch.dtype:
    """torch's dtype of `float32` or `bfloat16`.

    Raises:
        ConfigError: It is neither.
    """
    legal = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if name not in legal:
        raise ConfigError(f"dtype must be one of {', '.join(legal)}; got {name!r}")
    return legal[name]


def recompute_layers(bridge: TransformerBridge) -> None:
    """Keep only the input of each layer of a gated model for the way back.

    Gradients are the same; they take about a third longer.  Without gates, and without gradients,
    nothing changes.
    """
    for block in bridge.blocks:
        # The bridge's own block hands assignments on to the layer it wraps.
        layer = block.original_component
        layer.forward = _recomputed(layer.forward)


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        gates = gates_in_force()
        if gates is None or not torch.is_grad_enabled():
            return forward(*args, **kwargs)

        def under_gates(*args: Any, **kwargs: Any) -> Any:
            with gated(gates):
                return forward(*args, **kwargs)

        # Nothing random happens in a model that is evaluated.
        return checkpoint(
            under_gates, *args, use_reentrant=False, preserve_rng_state=False, **kwargs
        )

    return run


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
    require_none(config_refusals(source.base))
    where, number = placement(device), data_type(dtype)
    # Read here and not by the bridge, which would take a pickle and whose names for parameters no
    # adapter knows.
    plain = read_weights(source, dtype=number, **where)
    with loading(source.base):
        # Of a model in memory the name is used for the tokenizer alone.
        bridge = TransformerBridge.boot_transformers(
            str(source.tokenizer), hf_model=plain, dtype=number, device=where.get("device")
        )
    tokenizer = bridge.tokenizer
    require_none(tokenizer_refusals(tokenizer, source.tokenizer))
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


def units_in(source: ModelSource) -> UnitSpace | None:
    """The units that loading finds, without weights; None where only weights tell them.

    Raises:
        UnsupportedModelError: Loading would refuse it.
    """
    with loading(source.base):
        try:
            bridge = TransformerBridge.boot_transformers(
                str(source.tokenizer), hf_model=empty_model(source.base), device="meta"
            )
        except NotImplementedError as error:
            # Fused projections are split by value.
            if "meta device" in str(error):
                return None
            raise
    return unit_space(bridge)
