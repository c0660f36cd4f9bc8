"""Tokens as labels of figures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["BLANKS", "axis_labels", "token_text"]

# How tokens of nothing but space are labelled.
BLANKS = ("\u2423", "\u23ce")


def token_text(label: str, longest: int = 40) -> str:
    """A token that Plotly shows as it is: it takes `<s>` for markup; long ones are cut."""
    short = label if len(label) <= longest else f"{label[: longest - 1]}\u2026"
    return escape(short, quote=False)


def axis_labels(labels: Sequence[str], cause: tuple[int, int], longest: int = 10) -> list[str]:
    """Labels of an axis of tokens; those at positions [start, stop) of `cause` have a sign."""
    texts = [token_text(label, longest) for label in labels]
    for place in range(*cause):
        texts[place] = f"<b>\u25b8{texts[place]}</b>"
    return texts
