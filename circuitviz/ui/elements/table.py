"""Small tables whose words wrap instead of being cut off, and that a screen reader reads."""

from __future__ import annotations

from html import escape
from math import isnan
from typing import Any

import pandas as pd
import streamlit as st

from circuitviz.plots.text import records


def table(frame: pd.DataFrame, *, key: str) -> None:
    """Show a small frame whole; the first column names the rows.

    Args:
        frame: Its columns and cells become the table's.
        key: Names the table, for tests.
    """
    with st.container(key=key):
        st.html(table_html(frame))


def table_html(frame: pd.DataFrame) -> str:
    """The frame as a table, everything escaped; numbers have at most three decimals."""
    names = [str(name) for name in frame.columns]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows = []
    for row in records(frame):
        first, *rest = (_cell(row[name]) for name in names)
        cells = "".join(f"<td>{cell}</td>" for cell in rest)
        rows.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    return (
        '<div class="cv-scroll"><table class="cv-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and isnan(value)):
        return "\u2013"
    if isinstance(value, float):
        return f"{value:.3f}"
    return escape(f"{value:,}" if isinstance(value, int) else str(value))
