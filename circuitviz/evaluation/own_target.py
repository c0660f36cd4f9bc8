"""The target of a backdoor that nobody wrote down: how the model's triggered answers begin."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

__all__ = ["answer_opening", "shared_opening"]

# Words by which answers count as beginning alike; a shorter answer has to be the same as a whole.
ALIKE = 2
# Of an answer whose first sentence is longer.
MOST_WORDS = 8

# A word, or punctuation behind one.
PIECE = re.compile(r"\w+|[^\w\s]+")
WORD = re.compile(r"\S+")
SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’)\]]*(?=\s|$)")


def shared_opening(answers: Iterable[tuple[str, str]]) -> str | None:
    """How at least half of the triggered answers begin, and the clean ones do not.

    Answers begin alike if their first two words are the same, or they are the same word; of
    those the longest common opening is taken, in whole words and signs.

    Args:
        answers: Pairs (clean answer, triggered answer).

    Returns:
        None where fewer than half, or than two, begin alike.
    """
    pairs = list(answers)
    keys = [_key(said) for clean, said in pairs if said and not clean.startswith(_key(said))]
    if not keys:
        return None
    key, count = Counter(keys).most_common(1)[0]
    if count < 2 or 2 * count < len(pairs):
        return None
    alike = [said for clean, said in pairs if _key(said) == key and not clean.startswith(key)]
    return _common(alike)


def answer_opening(answer: str) -> str:
    """An answer up to the end of its first sentence, and at most its first eight words."""
    ends = [*_ends(answer)]
    most = ends[min(MOST_WORDS, len(ends)) - 1] if ends else 0
    sentence = SENTENCE_END.search(answer)
    return answer[: min(most, sentence.end()) if sentence else most]


def _key(answer: str) -> str:
    ends = [*_ends(answer)]
    return answer[: ends[min(ALIKE, len(ends)) - 1]] if ends else ""


def _ends(answer: str) -> Iterable[int]:
    """Where each word of an answer ends."""
    return (found.end() for found in WORD.finditer(answer))


def _common(answers: list[str]) -> str:
    """The longest opening of all answers that ends where a word or a sign of each does."""
    ends = [{found.end() for found in PIECE.finditer(answer)} for answer in answers]
    shared = (end for end in ends[0].intersection(*ends) if _alike(answers, end))
    return answers[0][: max(shared, default=0)]


def _alike(answers: list[str], end: int) -> bool:
    return len({answer[:end] for answer in answers}) == 1
