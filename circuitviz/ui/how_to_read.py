"""What a chart means, folded away below it."""

from __future__ import annotations

import streamlit as st

__all__ = ["how_to_read"]


def how_to_read(text: str, *, key: str) -> None:
    """An explanation under its chart.

    Args:
        text: Markdown, a few sentences.
        key: Names the chart it explains.
    """
    with st.expander("How to read this", icon=":material/help:", key=f"{key}_explained"):
        st.markdown(text)
