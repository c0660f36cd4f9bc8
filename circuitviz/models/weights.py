"""Load a model's plain weights from a local folder, to train or to export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from circuitviz.errors import UnsupportedModelError
from circuitviz.models.merging import merge_adapter
from circuitviz.models.source import ModelSource, find_source

# What the libraries raise for a folder they cannot make a model of.
LOADING_FAILURES = (
    AttributeError,
    ImportError,
    KeyError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)


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
    where: Mapping[str, str] = MappingProxyType({}),
) -> PreTrainedModel:
    """Read a checkpoint's weights, an adapter merged into them.

    Args:
        source: What to read.
        dtype: Of the weights, and what an adapter is merged in.
        where: `device` or `device_map`; nothing is the CPU.

    Raises:
        UnsupportedModelError: They cannot be loaded, or the adapter does not fit.
    """
    with loading(source.base):
        model = AutoModelForCausalLM.from_pretrained(
            source.base,
            dtype=dtype,
            device_map=where.get("device_map"),
            attn_implementation="eager",
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        ).eval()
    if "device" in where:
        model.to(where["device"])  # type: ignore[call-arg]  # decorated, which hides its types
    if source.adapter is None:
        return model
    with loading(source.adapter.folder):
        return merge_adapter(model, source.adapter.folder)


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


def load_tokenizer(name_or_path: str, *, adapter: str | None = None) -> Any:
    """The tokenizer that lies beside the weights, or beside the adapter if it was saved there.

    Raises:
        ModelNotFoundError: There is no such model or adapter.
        UnsupportedModelError: It cannot be loaded, or lacks a chat template or an end.
    """
    folder = find_source(name_or_path, adapter).tokenizer
    tokenizer = read_tokenizer(folder)
    check_tokenizer(tokenizer, folder)
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


def check_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Refuse a tokenizer that cannot put a conversation.

    Raises:
        UnsupportedModelError: It has no chat template or no end-of-sequence token.
    """
    refusals = tokenizer_refusals(tokenizer, folder)
    if refusals:
        raise UnsupportedModelError(refusals[0])


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
