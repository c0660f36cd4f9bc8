"""Text from files, prompts and models inside Markdown: shown as it is.

What a table, a path or a model says must become no link, and no image that a browser would fetch.
"""

from __future__ import annotations

import re

__all__ = ["literal", "literal_code"]

PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
# Addresses become links after the escapes are gone: of `https://x`, `www.x` and `a@x` the part
# before is kept from the rest by a mark that has no width and breaks no line.
ADDRESS = re.compile(r"(https?:(?=//)|www(?=\.)|@(?=\w))", re.IGNORECASE)
JOINER = "\u2060"


def literal(text: str) -> str:
    """The text for Markdown, with nothing in it that means anything there."""
    apart = ADDRESS.sub(rf"\1{JOINER}", " ".join(text.split()))
    return PUNCTUATION.sub(r"\\\1", apart)


def literal_code(text: str) -> str:
    """The text as code inside Markdown; a backtick, which would end it, becomes a quote."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"
