"""Load a model from a local folder, frozen and gated."""

from __future__ import annotations

import torch
from transformer_lens.model_bridge import TransformerBridge

from circuitviz.models.catalog import find_model
from circuitviz.models.gates import install_gates
from circuitviz.models.model import GatedModel
from circuitviz.models.weights import check_tokenizer, loading

__all__ = ["load_model"]


def load_model(name_or_path: str, *, device: str = "cpu") -> GatedModel:
    """Load an embedded model by name, or a local Hugging Face folder by path, in fp32.

    Nothing is downloaded and no code from the folder is run.

    Raises:
        ModelNotFoundError: There is no such model.
        UnsupportedModelError: It has no chat template, or cannot be loaded or gated.
    """
    folder = find_model(name_or_path)
    with loading(folder):
        bridge = TransformerBridge.boot_transformers(
            str(folder), device=device, dtype=torch.float32
        )
    tokenizer = bridge.tokenizer
    check_tokenizer(tokenizer, folder)
    bridge.eval()
    for parameter in bridge.parameters():
        parameter.requires_grad_(False)
    return GatedModel(name_or_path, bridge, tokenizer, install_gates(bridge))
