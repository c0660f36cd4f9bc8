"""Words on a page: literal text, long paths, findings and how to read a chart.

Text from files, prompts and models inside Markdown: shown as it is.

What a table, a path or a model says must become no link, and no image that a browser would fetch.
"""

from __future__ import annotations

import re
from html import escape

import streamlit as st

from circuitviz.narrative.glossary import GLOSSARY

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
# Addresses become links after the escapes are gone: of `https://x`, `www.x` and `a@x` the part
# before is kept from the rest by a mark that has no width and breaks no line.
ADDRESS = re.compile(r"(https?:(?=//)|www(?=\.)|@(?=\w))", re.IGNORECASE)
JOINER = "\u2060"


def literal(text: str) -> str:
    """The text for Markdown, with nothing in it that means anything there."""
    apart = ADDRESS.sub(rf"\1{JOINER}", " ".join(text.split()))
    return _PUNCTUATION.sub(r"\\\1", apart)


def literal_code(text: str) -> str:
    """The text as code inside Markdown; a backtick, which would end it, becomes a quote."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


def statement(sentence: str) -> None:
    """A sentence that says what the chart below it shows; text in it is no markup."""
    st.html(f'<p class="cv-told">{escape(sentence)}</p>')


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


def glossary_button() -> bool:
    """The button for the glossary; says whether it was pressed just now."""
    return st.button("Glossary", icon=":material/menu_book:", type="tertiary", key="glossary")


@st.dialog("Glossary", width="large")
def glossary() -> None:
    """Every word of the pages, in a window above the page."""
    for title, words in GLOSSARY.items():
        st.header(title, anchor=False)
        st.markdown("\n\n".join(f"**{word}.** {text}" for word, text in words.items()))
