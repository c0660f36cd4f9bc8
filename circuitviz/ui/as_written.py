"""Text from prompts and tokenizers, shown as it is and never as markup."""

from __future__ import annotations

import re
from html import escape

import streamlit as st

__all__ = ["as_written", "told"]

MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~$:&])")


def as_written(text: str) -> str:
    """Markdown that shows exactly this text, on one line."""
    return MARKUP.sub(r"\\\1", " ".join(text.split()))


def told(sentence: str) -> None:
    """A sentence that says what the chart below it shows."""
    st.html(f'<p class="cv-told">{escape(sentence)}</p>')
