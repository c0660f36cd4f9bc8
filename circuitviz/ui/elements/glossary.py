"""The glossary, reachable from the sidebar of every page."""

from __future__ import annotations

import streamlit as st

from circuitviz.plots.glossary import GLOSSARY

__all__ = ["glossary", "glossary_button"]


def glossary_button() -> bool:
    """The button for the glossary; says whether it was pressed just now."""
    return st.button("Glossary", icon=":material/menu_book:", type="tertiary", key="glossary")


@st.dialog("Glossary", width="large")
def glossary() -> None:
    """Every word of the pages, in a window above the page."""
    for title, words in GLOSSARY.items():
        st.header(title, anchor=False)
        st.markdown("\n\n".join(f"**{word}.** {text}" for word, text in words.items()))
