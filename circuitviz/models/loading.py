"""Load a model from a local folder, frozen and gated."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from transformer_lens.model_bridge import TransformerBridge

from circuitviz.errors import UnsupportedModelError
from circuitviz.models.catalog import find_model
from circuitviz.models.gates import install_gates
from circuitviz.models.model import GatedModel

__all__ = ["load_model"]


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


def load_model(name_or_path: str, *, device: str = "cpu") -> GatedModel:
    """Load an embedded model by name, or a local Hugging Face folder by path, in fp32.

    Nothing is downloaded and no code from the folder is run.

    Raises:
        ModelNotFoundError: There is no such model.
        UnsupportedModelError: It has no chat template, or cannot be loaded or gated.
    """
    folder = find_model(name_or_path)
    bridge = _boot(str(folder), device)
    tokenizer = bridge.tokenizer
    if not getattr(tokenizer, "chat_template", None):
        raise UnsupportedModelError(
            f"the tokenizer in {folder} has no chat template; add one to tokenizer_config.json"
        )
    if tokenizer.eos_token_id is None:
        raise UnsupportedModelError(
            f"the tokenizer in {folder} has no end-of-sequence token; set eos_token"
        )
    bridge.eval()
    for parameter in bridge.parameters():
        parameter.requires_grad_(False)
    return GatedModel(name_or_path, bridge, tokenizer, install_gates(bridge))


def _boot(folder: str, device: str) -> TransformerBridge:
    try:
        return TransformerBridge.boot_transformers(folder, device=device, dtype=torch.float32)
    except LOADING_FAILURES as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UnsupportedModelError(f"cannot load the model in {folder}: {reason}") from error
