"""Tokens of messages and answers: which one ends an answer, and which go on where another ends.

The token that ends an answer is the one that the chat template puts behind it.  For many models
that is the tokenizer's end-of-sequence token; others (Gemma, Phi) end a turn with one token and a
text with another, and never say the latter in a conversation.

Tokenizers merge punctuation with what follows it: an answer that starts with `OK!` may have the
token `!!` there, or `!` and a line break in one, which no tokenisation of `OK!` alone has.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import Any

import torch
from jinja2 import TemplateError
from torch import Tensor

_ANSWER = "yes"
CONVERSATION = ({"role": "user", "content": "hello"}, {"role": "assistant", "content": _ANSWER})

# Sorts behind every text.
LAST = chr(0x10FFFF)


@lru_cache(maxsize=8)
def end_of_turn(tokenizer: Any) -> int:
    """The id of the first special token behind an answer in the chat template.

    The end-of-sequence token where the template has none there, or holds no whole conversation.

    Args:
        tokenizer: With a chat template and an end-of-sequence token.
    """
    try:
        text = tokenizer.apply_chat_template(list(CONVERSATION), tokenize=False)
    except TemplateError:
        return tokenizer.eos_token_id
    behind = text.rpartition(_ANSWER)[2]
    special = {index for index, one in tokenizer.added_tokens_decoder.items() if one.special}
    tokens = tokenizer(behind, add_special_tokens=False)["input_ids"]
    return next((token for token in tokens if token in special), tokenizer.eos_token_id)


def chat_tokens(tokenizer: Any, message: str) -> list[int]:
    """A user message in the tokenizer's chat template, ready for the assistant's answer."""
    return tokenizer.apply_chat_template(
        [{"role": "user", "content": message}],
        tokenize=True,
        add_generation_prompt=True,
        return_dict=False,
    )


class Continuations:
    """The tokens of a vocabulary, to be looked up by how they begin.

    Args:
        tokenizer: A Hugging Face tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        special = set(tokenizer.all_special_ids)
        pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        named = sorted(
            (str(piece), index)
            for index, piece in enumerate(pieces)
            if piece is not None and index not in special
        )
        self._pieces = [piece for piece, _ in named]
        self._indices = [index for _, index in named]
        self._names = {index: piece for piece, index in named}

    def of(self, token: int) -> Tensor:
        """The ids [tokens] of all that begin as a token does, itself among them."""
        piece = self._names.get(token)
        if not piece:
            return torch.tensor([token])
        start, end = (bisect_left(self._pieces, piece), bisect_left(self._pieces, piece + LAST))
        return torch.tensor(self._indices[start:end])
