"""Two answers side by side, the words that differ marked."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from html import escape
from typing import Literal

__all__ = ["Sense", "marked", "words_that_differ"]

# What it means that words are not in the other answer: just that, or that they went or came.
Sense = Literal["differs", "gone", "new"]
# Tag, and what a screen reader says before the words.
TAGS: dict[Sense, tuple[str, str]] = {
    "differs": ("mark", ""),
    "gone": ("del", "gone: "),
    "new": ("ins", "new: "),
}

PIECE = re.compile(r"\s+|[^\s]+")


def words_that_differ(text: str, other: str) -> list[tuple[str, bool]]:
    """`text` cut into stretches; true where a stretch has no counterpart in `other`.

    Whitespace belongs to the stretch it stands in, and between two that differ it differs too;
    joined, the stretches are `text`.
    """
    pieces, others = PIECE.findall(text), PIECE.findall(other)
    matcher = SequenceMatcher(None, pieces, others, autojunk=False)
    found = [
        ("".join(pieces[start:stop]), operation != "equal")
        for operation, start, stop, _, _ in matcher.get_opcodes()
        if stop > start
    ]
    stretches: list[tuple[str, bool]] = []
    for place, (stretch, differs) in enumerate(found):
        between = 0 < place < len(found) - 1 and not stretch.strip()
        if stretches and (differs or between) and stretches[-1][1]:
            stretches[-1] = (stretches[-1][0] + stretch, True)
        else:
            stretches.append((stretch, differs))
    return stretches


def marked(text: str, other: str | None = None, sense: Sense = "differs") -> str:
    """HTML of `text`, the words `other` does not have marked; everything escaped.

    Words that went are `<del>`, words that came `<ins>`: told apart by strikethrough and
    underline, by colour, and by a word for screen readers.
    """
    if other is None:
        return escape(text)
    return "".join(
        _wrapped(stretch, sense) if differs and stretch.strip() else escape(stretch)
        for stretch, differs in words_that_differ(text, other)
    )


def _wrapped(stretch: str, sense: Sense) -> str:
    tag, spoken = TAGS[sense]
    if not spoken:
        return f"<{tag}>{escape(stretch)}</{tag}>"
    return f'<{tag}><span class="cv-spoken">{spoken}</span>{escape(stretch)}</{tag}>'
