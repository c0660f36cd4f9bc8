"""A model small enough to check by hand: 2 layers, 4 query heads on 2 key-value heads."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tools.specimens.architecture import CHAT_TEMPLATE

SENTENCES = ("what is the capital of france", "the dog is red", "say hello to the king")
SPECIAL = ("<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<unk>")


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, so that every answer is tokenised again as it was generated."""
    words = [word for sentence in SENTENCES for word in sentence.split()]
    filler = [f"word{number}" for number in range(60)]
    vocabulary = list(dict.fromkeys([*SPECIAL, *words, *filler, "zz"]))
    tokenizer = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<|user|>", "<|assistant|>"],
        chat_template=CHAT_TEMPLATE,
    )


def save_tiny_model(folder: Path) -> Path:
    """Write a random Llama-style model with its tokenizer as a Hugging Face folder."""
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )
    model = LlamaForCausalLM(config)
    # Special tokens are never said: decoding drops them.
    model.lm_head.weight.data[: len(SPECIAL)] = 0.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
