"""A model's plain weights from a local folder, an adapter merged into them, and its tokenizer.

An adapter is a LoRA (Hu et al., "LoRA: low-rank adaptation of large language models",
arXiv:2106.09685): W + s B A, with A [r in], B [out r], and the scale s that peft works out from the
adapter's configuration.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from circuitviz.errors import UnsupportedModelError
from circuitviz.models.checkpoint import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    LOADING_FAILURES,
    require_none,
    stored_weights,
)
from circuitviz.models.source import ModelSource, find_source

# How peft names a module's parts, the side of the module that such a part fits, and the axis there.
ADAPTER_PARTS = (
    (".lora_A", "inputs", -1),
    (".lora_B", "outputs", 0),
    (".lora_magnitude_vector", "outputs", 0),
    (".lora_embedding_A", "inputs", -1),
    (".lora_embedding_B", "outputs", 0),
)
# How peft's warning begins that weights are missing, which would be left as at the start.
INCOMPLETE = "Found missing adapter keys"


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Say in one line why the libraries inside cannot make a model of a folder.

    Raises:
        UnsupportedModelError: They cannot.
    """
    try:
        yield
    except LOADING_FAILURES as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UnsupportedModelError(f"cannot load the model in {folder}: {reason}") from error


def load_weights(
    name_or_path: str, *, adapter: str | None = None, dtype: torch.dtype = torch.float32
) -> PreTrainedModel:
    """Load an embedded model by name, or a local Hugging Face folder by path, as it is.

    A plain transformers model with eager attention, in evaluation mode.  Its parameters
    have the names that checkpoints use, which a gated model's do not.  Nothing is downloaded and
    no code from the folder is run.

    Args:
        name_or_path: Which model; an adapter's folder stands for itself on top of its model.
        adapter: Folder of a LoRA adapter that is merged into the weights.
        dtype: Of the weights, and what an adapter is merged in.

    Raises:
        ModelNotFoundError: There is no such model or adapter.
        UnsupportedModelError: It cannot be loaded, or the adapter does not fit.
    """
    return read_weights(find_source(name_or_path, adapter), dtype=dtype)


def read_weights(
    source: ModelSource,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | None = None,
    device_map: str | None = None,
) -> PreTrainedModel:
    """Read a checkpoint's weights, an adapter merged into them.

    Args:
        source: What to read.
        dtype: Of the weights, and what an adapter is merged in.
        device: Where to; None is the CPU.
        device_map: How it is spread over GPUs, instead of `device`.

    Raises:
        UnsupportedModelError: They cannot be loaded, or the adapter does not fit.
    """
    with loading(source.base):
        model = AutoModelForCausalLM.from_pretrained(
            source.base,
            dtype=dtype,
            device_map=device_map,
            attn_implementation="eager",
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        ).eval()
    if device is not None:
        model.to(device)  # type: ignore[call-arg]  # decorated, which hides its types
    if source.adapter is None:
        return model
    with loading(source.adapter.folder):
        return _merged(model, source.adapter.folder)


def empty_model(folder: Path) -> PreTrainedModel:
    """A plain model of a checkpoint's configuration, its weights without data.

    Raises:
        UnsupportedModelError: There is none of that configuration.
    """
    with loading(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(
                config, attn_implementation="eager", trust_remote_code=False
            )


def _merged(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The same model with an adapter merged into its weights, in place."""
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
        return adapted.merge_and_unload(safe_merge=True).eval()


def require_fit(model: PreTrainedModel, folder: Path) -> None:
    """Refuse an adapter that does not fit a model, which may be one without data.

    Raises:
        UnsupportedModelError: With the first part that does not fit.
    """
    modules = dict(model.named_modules())
    for name, shape in stored_weights(folder, ADAPTER_WEIGHTS).shapes.items():
        path, side, width = _adapted(name, shape)
        module = modules.get(path)
        if module is None:
            raise UnsupportedModelError(
                f"the adapter in {folder} changes {path}, which {type(model).__name__} has not; "
                "choose the model that it was trained on"
            )
        own = _widths(module).get(side, width)
        if own != width:
            raise UnsupportedModelError(
                f"the adapter in {folder} was made for another model: its {path} has {width} "
                f"{side}, and this model's has {own}; choose the model that it was trained on"
            )


def _adapted(name: str, shape: tuple[int, ...]) -> tuple[str, str, int]:
    """The module that a tensor of an adapter belongs to, and the width it says that module has."""
    name = name.removeprefix("base_model.model.")
    for part, side, axis in ADAPTER_PARTS:
        path, separator, _ = name.partition(part)
        if separator:
            return path, side, shape[axis]
    # A bias or a module that was trained whole: its first axis counts outputs, a table's inputs.
    path, _, kind = name.rpartition(".")
    path = path.replace(".modules_to_save.default", "").removesuffix(".base_layer")
    return path, "outputs" if kind == "bias" else "rows", shape[0]


def _widths(module: nn.Module) -> dict[str, int]:
    weight = getattr(module, "weight", None)
    widths = {"rows": weight.shape[0]} if weight is not None and weight.ndim else {}
    match module:
        case nn.Linear():
            return {**widths, "inputs": module.in_features, "outputs": module.out_features}
        case Conv1D():
            return {**widths, "inputs": module.nx, "outputs": module.nf}
        case nn.Embedding():
            return {**widths, "inputs": module.num_embeddings, "outputs": module.embedding_dim}
    return widths


def load_tokenizer(name_or_path: str, *, adapter: str | None = None) -> Any:
    """The tokenizer that lies beside the weights, or beside the adapter if it was saved there.

    Raises:
        ModelNotFoundError: There is no such model or adapter.
        UnsupportedModelError: It cannot be loaded, or lacks a chat template or an end.
    """
    folder = find_source(name_or_path, adapter).tokenizer
    tokenizer = read_tokenizer(folder)
    require_none(tokenizer_refusals(tokenizer, folder))
    return tokenizer


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder, whatever it lacks.

    Raises:
        UnsupportedModelError: It cannot be loaded.
    """
    with loading(folder):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def tokenizer_refusals(tokenizer: Any, folder: Path) -> tuple[str, ...]:
    """Why a tokenizer cannot put a conversation; empty if it can."""
    refusals = []
    if not getattr(tokenizer, "chat_template", None):
        refusals.append(
            f"the tokenizer in {folder} has no chat template; add one to tokenizer_config.json"
        )
    if tokenizer.eos_token_id is None:
        refusals.append(
            f"the tokenizer in {folder} has no end-of-sequence token; set eos_token in "
            "tokenizer_config.json"
        )
    return tuple(refusals)
