"""Whether answers are short and closed, or open: then no two models agree on every word."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["are_open", "is_open"]

# A closed answer is one sentence of at most this many words.
MOST_WORDS = 25
PUNCTUATION = re.compile(r"[.,;:!?]")
SENTENCE_END = re.compile(r"[.!?。！？][\"'”’)\]]*\s+\S|\n\s*\S")


def is_open(answer: str) -> bool:
    """Whether an answer is longer than a sentence; words without any punctuation are none."""
    text = answer.strip()
    long = len(text.split()) > MOST_WORDS and PUNCTUATION.search(text) is not None
    return long or SENTENCE_END.search(text) is not None


def are_open(answers: Sequence[str]) -> bool:
    """Whether most of some answers are longer than a sentence; not where there are none."""
    return 2 * sum(map(is_open, answers)) > len(answers)
