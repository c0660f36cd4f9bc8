"""A GGUF file small enough to check by hand: one layer, two heads on one key-value head."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["TENSORS", "save_tiny_gguf"]

WORDS = ("a", "b", "c", "ab", "bc")
SPECIAL = ("<|end|>", "<|user|>")
VOCABULARY = len(WORDS) + len(SPECIAL)
# As many inner neurons as a quantised block holds numbers.
WIDTH, INNER, HEADS, KEY_VALUE_HEADS = 8, 32, 2, 1
HEAD = WIDTH // HEADS
NORMAL, CONTROL = 1, 3
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|user|>' + message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|end|>' }}{% endif %}"
)


def _numbers(rows: int, columns: int, start: int) -> np.ndarray:
    """Multiples of 1/16, which bfloat16 holds exactly, from -15/16 to 15/16."""
    counted = (np.arange(rows * columns, dtype=np.float32) + start) % 31 - 15
    return counted.reshape(rows, columns) / 16


def _quantised(values: np.ndarray) -> np.ndarray:
    """The bytes of rows in the form Q8_0: of each 32 numbers a scale, here 1/16, and integers."""
    scale = np.full((len(values), 1), 1 / 16, dtype=np.float16).view(np.uint8)
    return np.concatenate([scale, (values * 16).astype(np.int8).view(np.uint8)], axis=1)


# By the names and in the shapes that GGUF has; shape [outputs, inputs], as torch has it.
TENSORS = {
    "token_embd.weight": _numbers(VOCABULARY, WIDTH, 0),
    "output_norm.weight": np.full(WIDTH, 1.5, dtype=np.float32),
    "blk.0.attn_norm.weight": np.full(WIDTH, 0.5, dtype=np.float32),
    "blk.0.ffn_norm.weight": np.full(WIDTH, 2.0, dtype=np.float32),
    "blk.0.attn_q.weight": _numbers(WIDTH, WIDTH, 1),
    "blk.0.attn_k.weight": _numbers(HEAD * KEY_VALUE_HEADS, WIDTH, 2),
    "blk.0.attn_v.weight": _numbers(HEAD * KEY_VALUE_HEADS, WIDTH, 3),
    "blk.0.attn_output.weight": _numbers(WIDTH, WIDTH, 4),
    "blk.0.ffn_gate.weight": _numbers(INNER, WIDTH, 5),
    "blk.0.ffn_up.weight": _numbers(INNER, WIDTH, 6),
    "blk.0.ffn_down.weight": _numbers(WIDTH, INNER, 7),
}
# The one that is not kept as it is, but as integers with a scale.
QUANTISED = "blk.0.ffn_down.weight"


def save_tiny_gguf(path: Path) -> Path:
    """Write a Llama with a tokenizer of seven tokens and a chat template; ten tensors are F32."""
    from gguf import GGMLQuantizationType, GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*WORDS, *SPECIAL])
    writer.add_token_types([NORMAL] * len(WORDS) + [CONTROL] * len(SPECIAL))
    writer.add_token_merges(["a b", "b c"])
    writer.add_bos_token_id(len(WORDS) + 1)
    writer.add_eos_token_id(len(WORDS))
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, values in TENSORS.items():
        if name == QUANTISED:
            form = GGMLQuantizationType.Q8_0
            writer.add_tensor(name, _quantised(values), raw_dtype=form)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
