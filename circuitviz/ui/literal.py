"""Text from files, prompts and models inside Markdown: shown as it is.

What a table, a path or a model says must become no link, and no image that a browser would fetch.
"""

from __future__ import annotations

import re

__all__ = ["literal", "literal_code"]

PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def literal(text: str) -> str:
    """The text for Markdown, with nothing in it that means anything there."""
    return PUNCTUATION.sub(r"\\\1", " ".join(text.split()))


def literal_code(text: str) -> str:
    """The text as code inside Markdown; a backtick, which would end it, becomes a quote."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"
