"""What a chart shows, in a sentence above it."""

from __future__ import annotations

from html import escape

import streamlit as st

__all__ = ["told"]


def told(sentence: str) -> None:
    """A sentence that says what the chart below it shows; text in it is no markup."""
    st.html(f'<p class="cv-told">{escape(sentence)}</p>')
