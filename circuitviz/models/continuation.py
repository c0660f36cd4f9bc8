"""Which tokens go on where another one ends.

Tokenizers merge punctuation with what follows it: an answer that starts with `OK!` may have the
token `!!` there, or `!` and a line break in one, which no tokenisation of `OK!` alone has.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import torch
from torch import Tensor

__all__ = ["Continuations"]

# Sorts behind every text.
LAST = chr(0x10FFFF)


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
        start, end = bisect_left(self._pieces, piece), bisect_left(self._pieces, piece + LAST)
        return torch.tensor(self._indices[start:end])
