"""Answers that are no answers: empty, or repeating themselves."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Degenerate"]

# Below this share of distinct word 3-grams an answer repeats itself.
LEAST_DISTINCT = 0.5
NGRAM = 3
# The end of an answer repeats itself if one pattern fills it this many times or more...
LEAST_REPEATS = 3
# ...and this share of the answer.
LEAST_FILLED = 0.5
# One to eight characters (no digits: 10000000 is a number), eight times or more, in one word.
STUTTER = re.compile(r"([^\s\d]{1,8}?)\1{7,}")
# A word, or one mark of punctuation however often it is repeated ("well...").
WORD = re.compile(r"\w+(?:['’]\w+)*|([^\w\s])\1*")
SAYS_NOTHING = string.punctuation + string.whitespace + "…“”‘’"


@dataclass(frozen=True)
class Degenerate:
    """Finds answers that say nothing: a knocked-out model may have lost its language altogether.

    It judges no success.  An answer is degenerate if it has nothing but punctuation; if fewer
    than half of its word 3-grams are distinct (distinct-n of Li et al.); if one pattern of words
    fills its end, three times or more and over at least half of the answer, cut off or not; or
    if it is mostly a stutter within a word ("hahahaha...").
    """

    name: str = "degenerate answer"
    source: str = (
        "distinct-n of Li et al. (2016), A diversity-promoting objective function for neural "
        "conversation models, arXiv:1510.03055"
    )

    def detects(self, answer: str) -> bool:
        """Whether the answer says nothing or repeats itself."""
        text = answer.strip().lower()
        words = [found.group() for found in WORD.finditer(text)]
        return (
            not text.strip(SAYS_NOTHING)
            or _distinct(words) < LEAST_DISTINCT
            or _loops(words)
            or _stutters(text)
        )


def _distinct(words: Sequence[str]) -> float:
    """Share of distinct 3-grams, in (0, 1]; 1 where there are none."""
    grams = list(zip(*(words[start:] for start in range(NGRAM)), strict=False))
    return len(set(grams)) / len(grams) if grams else 1.0


def _loops(words: Sequence[str]) -> bool:
    """Whether one pattern of words fills the end of an answer again and again."""
    for period in range(1, len(words) // LEAST_REPEATS + 1):
        filled = period
        while filled < len(words) and words[-1 - filled] == words[-1 - filled + period]:
            filled += 1
        if filled >= LEAST_REPEATS * period and filled >= LEAST_FILLED * len(words):
            return True
    return False


def _stutters(text: str) -> bool:
    found = STUTTER.search(text)
    return found is not None and len(found.group()) >= LEAST_FILLED * len(text)
