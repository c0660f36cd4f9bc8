"""Load a model's plain weights from a local folder, to train or to export."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from circuitviz.errors import UnsupportedModelError
from circuitviz.models.catalog import find_model

__all__ = ["check_tokenizer", "load_tokenizer", "load_weights", "loading"]


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


def load_weights(name_or_path: str) -> PreTrainedModel:
    """Load an embedded model by name, or a local Hugging Face folder by path, as it is.

    A plain transformers model in fp32 with eager attention, in evaluation mode.  Its parameters
    have the names that checkpoints use, which a gated model's do not.  Nothing is downloaded and
    no code from the folder is run.

    Raises:
        ModelNotFoundError: There is no such model.
        UnsupportedModelError: It cannot be loaded.
    """
    folder = find_model(name_or_path)
    with loading(folder):
        return AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation="eager",
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        ).eval()


def load_tokenizer(name_or_path: str) -> Any:
    """The tokenizer that lies beside the weights.

    Raises:
        ModelNotFoundError: There is no such model.
        UnsupportedModelError: It cannot be loaded, or lacks a chat template or an end.
    """
    folder = find_model(name_or_path)
    with loading(folder):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    check_tokenizer(tokenizer, folder)
    return tokenizer


def check_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Refuse a tokenizer that cannot put a conversation.

    Raises:
        UnsupportedModelError: It has no chat template or no end-of-sequence token.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise UnsupportedModelError(
            f"the tokenizer in {folder} has no chat template; add one to tokenizer_config.json"
        )
    if tokenizer.eos_token_id is None:
        raise UnsupportedModelError(
            f"the tokenizer in {folder} has no end-of-sequence token; set eos_token"
        )


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
