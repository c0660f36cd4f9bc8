"""Two answers side by side, the words that differ marked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from html import escape
from typing import Literal

# What it means that words are not in the other answer: just that, or that they went or came.
Sense = Literal["differs", "gone", "new"]
# Tag, and what a screen reader says before the words.
TAGS: dict[Sense, tuple[str, str]] = {
    "differs": ("mark", ""),
    "gone": ("del", "gone: "),
    "new": ("ins", "new: "),
}

_PIECE = re.compile(r"\s+|[^\s]+")
# So few words that both have, between stretches that differ in at least so many, are a match by
# chance: marking around them would only cut a sentence into shreds.
CHANCE_WORDS, DIFFERING_WORDS = 2, 6
# From so many words on a stretch is no longer struck through or underlined in full: nobody could
# read it.
LONG_WORDS = 12


def words_that_differ(text: str, other: str) -> list[tuple[str, bool]]:
    """`text` cut into stretches; true where a stretch has no counterpart in `other`.

    Whitespace belongs to the stretch it stands in, and between two that differ it differs too;
    joined, the stretches are `text`.
    """
    pieces, others = _PIECE.findall(text), _PIECE.findall(other)
    codes = SequenceMatcher(None, pieces, others, autojunk=False).get_opcodes()
    blocks = [
        _Block(pieces[start:stop], others[first:last], operation != "equal")
        for operation, start, stop, first, last in codes
    ]
    for matches_by_chance in (_is_blank, _is_chance):
        blocks = _joined(blocks, matches_by_chance)
    return [("".join(block.pieces), block.differs) for block in blocks if block.pieces]


@dataclass(frozen=True)
class _Block:
    """Pieces of both texts that are alike, or differ."""

    pieces: list[str]
    others: list[str]
    differs: bool

    @property
    def words(self) -> int:
        """How many words the longer side has."""
        return max(_words(self.pieces), _words(self.others))

    def __add__(self, block: _Block) -> _Block:
        return _Block(self.pieces + block.pieces, self.others + block.others, True)


def _joined(
    blocks: list[_Block], by_chance: Callable[[_Block, _Block, _Block], bool]
) -> list[_Block]:
    """Blocks that differ, and what is alike by chance between two of them, as one."""
    joined: list[_Block] = []
    for place, block in enumerate(blocks):
        inside = joined and joined[-1].differs and place < len(blocks) - 1
        differs = block.differs or (inside and by_chance(joined[-1], block, blocks[place + 1]))
        if differs and joined and joined[-1].differs:
            joined[-1] = joined[-1] + block
        else:
            joined.append(block)
    return joined


def _is_blank(before: _Block, block: _Block, after: _Block) -> bool:
    return not block.words


def _is_chance(before: _Block, block: _Block, after: _Block) -> bool:
    return block.words <= CHANCE_WORDS and before.words + after.words >= DIFFERING_WORDS


def _words(pieces: Iterable[str]) -> int:
    return sum(1 for piece in pieces if not piece.isspace())


def marked(text: str, other: str | None = None, sense: Sense = "differs") -> str:
    """HTML of `text`, the words `other` does not have marked; everything escaped.

    Words that went are `<del>`, words that came `<ins>`: told apart by strikethrough and
    underline, by colour, and by a word for screen readers.  Long stretches have the class
    `cv-long`, so that they can be marked more quietly.
    """
    if other is None:
        return escape(text)
    return "".join(
        _wrapped(stretch, sense) if differs and stretch.strip() else escape(stretch)
        for stretch, differs in words_that_differ(text, other)
    )


def is_long(stretch: str) -> bool:
    """Whether a stretch has more words than can be read struck through."""
    return len(stretch.split()) >= LONG_WORDS


def _wrapped(stretch: str, sense: Sense) -> str:
    tag, spoken = TAGS[sense]
    opening = f'<{tag} class="cv-long">' if is_long(stretch) else f"<{tag}>"
    said = f'<span class="cv-spoken">{spoken}</span>' if spoken else ""
    return f"{opening}{said}{escape(stretch)}</{tag}>"
