"""A LoRA adapter merged into the weights of the model below it.

Hu et al., "LoRA: low-rank adaptation of large language models", arXiv:2106.09685: W + s B A, with
A [r in], B [out r], and the scale s that peft works out from the adapter's configuration.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from circuitviz.errors import UnsupportedModelError
from circuitviz.models.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from circuitviz.models.checkpoint import stored_weights

PREFIX = "base_model.model."
# How peft's warning begins that weights are missing, which would be left as at the start.
INCOMPLETE = "Found missing adapter keys"


def merge_adapter(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Merge an adapter into a model's weights, in place.

    Args:
        model: The model below, in the dtype to merge in.
        folder: The adapter's folder, one that `Adapter.of_folder` takes.

    Returns:
        The model, of the class it was, with weights of the names and shapes it had.

    Raises:
        UnsupportedModelError: The adapter was made for a model of other parts or widths.
    """
    # Late: slow to import, and few models need it.
    from peft import PeftModel

    require_fit(model, folder)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=INCOMPLETE)
        # Of peft's own calls.
        warnings.filterwarnings("ignore", category=FutureWarning)
        try:
            adapted = PeftModel.from_pretrained(
                model, str(folder), torch_device=str(model.device), autocast_adapter_dtype=False
            )
        except UserWarning as error:
            raise UnsupportedModelError(
                f"the adapter in {folder} is incomplete: {ADAPTER_WEIGHTS} lacks weights that "
                f"{ADAPTER_CONFIG} speaks of; get it again, or save it again"
            ) from error
        merged = adapted.merge_and_unload(safe_merge=True)
    return merged.eval()


def require_fit(model: PreTrainedModel, folder: Path) -> None:
    """Refuse an adapter that does not fit a model, which may be one without data.

    Raises:
        UnsupportedModelError: With the first part that does not fit.
    """
    modules = dict(model.named_modules())
    for name, shape in stored_weights(folder, ADAPTER_WEIGHTS).shapes.items():
        path, side, wanted = _place(name, shape)
        module = modules.get(path)
        if module is None:
            raise UnsupportedModelError(
                f"the adapter in {folder} changes {path}, which {type(model).__name__} has not; "
                "choose the model that it was trained on"
            )
        widths = dict(_widths(module))
        if side in widths and widths[side] != wanted:
            raise UnsupportedModelError(
                f"the adapter in {folder} was made for another model: its {path} has {wanted} "
                f"{side}, and this model's has {widths[side]}; choose the model that it was "
                "trained on"
            )


def _place(name: str, shape: tuple[int, ...]) -> tuple[str, str, int]:
    """The module that a tensor of an adapter belongs to, and the width it says that module has."""
    name = name.removeprefix(PREFIX)
    for part, side, axis in (
        (".lora_A", "inputs", -1),
        (".lora_B", "outputs", 0),
        (".lora_magnitude_vector", "outputs", 0),
        (".lora_embedding_A", "inputs", -1),
        (".lora_embedding_B", "outputs", 0),
    ):
        path, found, _ = name.partition(part)
        if found:
            return path, side, shape[axis]
    # A bias or a module that was trained whole: its first axis counts outputs, a table's inputs.
    path, _, kind = name.rpartition(".")
    path = path.replace(".modules_to_save.default", "").removesuffix(".base_layer")
    return path, "outputs" if kind == "bias" else "rows", shape[0]


def _widths(module: nn.Module) -> Iterator[tuple[str, int]]:
    if isinstance(module, nn.Linear):
        yield from (("inputs", module.in_features), ("outputs", module.out_features))
    elif isinstance(module, Conv1D):
        yield from (("inputs", module.nx), ("outputs", module.nf))
    elif isinstance(module, nn.Embedding):
        yield from (("inputs", module.num_embeddings), ("outputs", module.embedding_dim))
    weight = getattr(module, "weight", None)
    if weight is not None and weight.ndim:
        yield "rows", weight.shape[0]
