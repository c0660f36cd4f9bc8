"""Tiny random models of many architectures: 2 layers, 4 heads, their tokenizer of 80 words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tests.support.tiny import SPECIAL, tiny_tokenizer

__all__ = ["ARCHITECTURES", "random_model", "save_model"]

SPECIAL_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LLAMA_LIKE = {
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,
}
WITH_D_HEAD = {**LLAMA_LIKE, "head_dim": 12}
GPT_LIKE = {
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,
}
FALCON = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "new_decoder_architecture": False,
    "initializer_range": 0.3,
    "tie_word_embeddings": False,
}
UNGROUPED = {"num_key_value_heads": 4}

# Model type and settings, by the name tests use.
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", LLAMA_LIKE),
    "mistral": ("mistral", LLAMA_LIKE),
    "qwen2": ("qwen2", LLAMA_LIKE),
    "qwen3": ("qwen3", WITH_D_HEAD),
    "gemma": ("gemma", WITH_D_HEAD),
    "gemma2": ("gemma2", WITH_D_HEAD),
    "gemma3": ("gemma3_text", WITH_D_HEAD),
    "olmo": ("olmo", LLAMA_LIKE),
    "olmo2": ("olmo2", LLAMA_LIKE),
    "olmo3": ("olmo3", LLAMA_LIKE),
    "stablelm": ("stablelm", LLAMA_LIKE),
    "granite": ("granite", LLAMA_LIKE),
    "smollm3": ("smollm3", LLAMA_LIKE),
    "starcoder2": ("starcoder2", LLAMA_LIKE),
    "nemotron": ("nemotron", LLAMA_LIKE),
    "phi": ("phi", LLAMA_LIKE),
    "phi3": ("phi3", LLAMA_LIKE),
    "gpt2": ("gpt2", {**GPT_LIKE, "n_inner": 24}),
    "gptj": ("gptj", {**GPT_LIKE, "n_inner": 24, "rotary_dim": 4}),
    "gpt_neo": (
        "gpt_neo",
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "intermediate_size": 24,
            "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 64,
            "initializer_range": 0.3,
            "tie_word_embeddings": False,
        },
    ),
    "gpt_neox": (
        "gpt_neox",
        {key: value for key, value in LLAMA_LIKE.items() if key != "num_key_value_heads"},
    ),
    "opt": (
        "opt",
        {
            "hidden_size": 32,
            "ffn_dim": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "word_embed_proj_dim": 32,
            "max_position_embeddings": 64,
            "init_std": 0.3,
            "tie_word_embeddings": False,
        },
    ),
    "bloom": (
        "bloom",
        {
            "hidden_size": 32,
            "n_layer": 2,
            "n_head": 4,
            "initializer_range": 0.3,
            "tie_word_embeddings": False,
        },
    ),
    "falcon-one-key": ("falcon", {**FALCON, "multi_query": True}),
    "falcon-interleaved": ("falcon", {**FALCON, "multi_query": False, "alibi": True}),
}


def random_model(name: str, **changes: Any) -> PreTrainedModel:
    """A random model, the same every time, whose biases are not zero."""
    model_type, settings = ARCHITECTURES[name]
    config = AutoConfig.for_model(
        model_type,
        vocab_size=len(tiny_tokenizer()),
        **SPECIAL_IDS,
        **{**settings, **changes},
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("bias"):
                parameter.normal_(std=0.3)
        # Special tokens are never said: decoding drops them.
        model.get_output_embeddings().weight[: len(SPECIAL)] = 0.0
    return model.eval()


def save_model(model: PreTrainedModel, folder: Path) -> Path:
    """Write a model with its tokenizer as a Hugging Face folder."""
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
