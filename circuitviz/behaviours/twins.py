"""Rows that say the same in other spelling, which must not stand in two splits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from circuitviz.behaviours.own_rows import OwnRow
from circuitviz.behaviours.problem import Problems

__all__ = ["check_twins", "essence", "together"]

SIGNS = re.compile(r"[^\w\s]|_")


def essence(text: str) -> str:
    """A message without case, punctuation and width of its characters.

    A message of signs alone stays as it is: nothing else is known of it.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = " ".join(SIGNS.sub(" ", plain).split())
    return words or " ".join(plain.split())


def together(rows: Sequence[OwnRow]) -> list[OwnRow]:
    """The rows, twins in the split of the first of them; for splits that were made."""
    first: dict[str, OwnRow] = {}
    found = []
    for row in rows:
        twin = next((first[key] for key in _keys(row) if key in first), row)
        row = replace(row, split=twin.split)
        for key in _keys(row):
            first.setdefault(key, row)
        found.append(row)
    return found


def check_twins(rows: Sequence[OwnRow], problems: Problems) -> None:
    """Warn of twins in two splits, where splits are given."""
    first: dict[str, OwnRow] = {}
    for row in rows:
        others = [first[key] for key in _keys(row) if key in first]
        twin = next((other for other in others if other.split != row.split), None)
        if twin is not None:
            there = f"row {twin.number}" + (f" of {twin.file}" if twin.file != row.file else "")
            problems.add(
                "warning",
                f"the prompt of {there} in other spelling, here in the split {row.split} and "
                f"there in {twin.split}: what is learned from one is tested on the other",
                kind="the prompt of another split in other spelling",
                file=row.file,
                row=row.number,
            )
        for key in _keys(row):
            first.setdefault(key, row)


def _keys(row: OwnRow) -> list[str]:
    """What a row's messages come down to, the clean one first, each once."""
    return list(dict.fromkeys(essence(text) for text in (row.prompt, row.triggered) if text))
