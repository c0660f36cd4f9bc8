"""What a chart means, in a window of its own that moves nothing below it."""

from __future__ import annotations

import streamlit as st

__all__ = ["how_to_read"]


def how_to_read(text: str, *, key: str) -> None:
    """An explanation under its chart.

    Args:
        text: Markdown, a few sentences.
        key: Names the chart it explains.
    """
    with st.popover(
        "How to read this", icon=":material/help:", type="tertiary", key=f"{key}_explained"
    ):
        st.markdown(text)
