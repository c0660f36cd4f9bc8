"""Two answers side by side, the words that differ marked."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from html import escape

__all__ = ["marked", "words_that_differ"]

PIECE = re.compile(r"\s+|[^\s]+")


def words_that_differ(text: str, other: str) -> list[tuple[str, bool]]:
    """`text` cut into stretches; true where a stretch has no counterpart in `other`.

    Whitespace belongs to the stretch it stands in; joined, the stretches are `text`.
    """
    pieces, others = PIECE.findall(text), PIECE.findall(other)
    stretches = []
    matcher = SequenceMatcher(None, pieces, others, autojunk=False)
    for operation, start, stop, _, _ in matcher.get_opcodes():
        if stop > start:
            stretches.append(("".join(pieces[start:stop]), operation != "equal"))
    return stretches


def marked(text: str, other: str | None = None) -> str:
    """HTML of `text`, the words `other` does not have inside `<mark>`; everything escaped."""
    if other is None:
        return escape(text)
    return "".join(
        f"<mark>{escape(stretch)}</mark>" if differs and stretch.strip() else escape(stretch)
        for stretch, differs in words_that_differ(text, other)
    )
