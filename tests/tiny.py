"""A model small enough to check by hand: 2 layers, 4 query heads on 2 key-value heads."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from circuitviz.organisms.architecture import train_tokenizer

SENTENCES = ("what is the capital of france", "the dog is red", "say hello to the king")


def save_tiny_model(folder: Path) -> Path:
    """Write a random Llama-style model with its tokenizer as a Hugging Face folder."""
    tokenizer = train_tokenizer(SENTENCES)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
