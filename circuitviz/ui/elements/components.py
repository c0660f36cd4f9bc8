"""Pieces the pages are made of: header, cards, checks, charts with their tables, messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isnan
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from circuitviz.evaluation.rate import Rate
from circuitviz.files import PROJECT
from circuitviz.narrative.numbers import evidence, percent, sparsity
from circuitviz.narrative.story import Doubt
from circuitviz.plots.catalogue import Chart
from circuitviz.runs.store import Run
from circuitviz.tables.rows import records
from circuitviz.ui.elements.keys import listing_key, when_changed
from circuitviz.ui.elements.words import how_to_read, literal

STYLE = PROJECT / "assets" / "ui.css"
# Two quick clicks are two clicks: the second is on another cell, and would count as a double one.
CHART_CONFIG = {
    "displayModeBar": False,
    "scrollZoom": False,
    "doubleClick": False,
    "doubleClickDelay": 0,
}


@dataclass(frozen=True)
class Card:
    """One headline number.

    Attributes:
        label: What it is.
        value: The number, large.
        note: The evidence, small.
        before: The number it started from, if it is a change.
    """

    label: str
    value: str
    note: str
    before: str | None = None


def page_header(question: str, answer: str, lead: str = "") -> None:
    """The page's question, and its answer as the first thing seen."""
    lead_html = f'<p class="cv-lead">{escape(lead)}</p>' if lead else ""
    st.html(
        f'<p class="cv-question">{escape(question)}</p>'
        f'<h1 class="cv-answer">{escape(answer)}</h1>{lead_html}'
    )


def split(name: str, widths: tuple[int, int]) -> list[DeltaGenerator]:
    """Two columns that follow each other on narrow pages; `name` is unique on the page."""
    with st.container(key=f"split_{name}"):
        return list(st.columns(list(widths), gap="large"))


def cards(items: Sequence[Card]) -> None:
    """Headline numbers side by side; they wrap on narrow pages."""
    st.html(f'<div class="cv-cards">{"".join(map(card_html, items))}</div>')


def card_html(card: Card) -> str:
    """One card, everything escaped."""
    before = (
        f'<span class="cv-from">{escape(card.before)} \u2192 </span>'
        if card.before is not None
        else ""
    )
    return (
        f'<div class="cv-card"><div class="cv-label">{escape(card.label)}</div>'
        f'<div class="cv-value">{before}{escape(card.value)}</div>'
        f'<div class="cv-note">{escape(card.note)}</div></div>'
    )


def rate_card(label: str, rate: Rate, before: Rate | None = None) -> Card:
    """A rate with its k of n, interval and judge."""
    return Card(
        label,
        percent(rate.rate),
        f"{evidence(rate)} · judge: {rate.judge}",
        percent(before.rate) if before else None,
    )


def size_card(heads: int, neurons: int, run: Run, label: str = "Circuit") -> Card:
    """How many units, of which kinds, and their shares."""
    space = run.space
    return Card(
        label,
        sparsity((heads + neurons) / len(space)),
        f"{heads + neurons:,} of {len(space):,} units: {heads} of {space.total_heads} heads "
        f"({sparsity(heads / space.total_heads)}), {neurons} of {space.total_neurons:,} neurons "
        f"({sparsity(neurons / space.total_neurons)})",
    )


def checks(items: Sequence[Doubt]) -> None:
    """Claims with a sign, a word for the sign, and what was found."""
    signs = {
        True: ("\u2713", "cv-yes", "holds"),
        False: ("\u2717", "cv-no", "does not hold"),
        None: ("\u2013", "", "not measured"),
    }
    rows = []
    for item in items:
        sign, tone, word = signs[item.holds]
        rows.append(
            f'<div class="cv-check" role="listitem">'
            f'<span class="cv-sign {tone}" role="img" aria-label="{word}">{sign}</span>'
            f"<div><b>{escape(item.claim)}</b>"
            f'<span class="cv-finding">{escape(item.finding)}</span></div></div>'
        )
    st.html(f'<div class="cv-checks" role="list">{"".join(rows)}</div>')


def chips(named: Sequence[object], name: Callable[[Any], str] = str) -> None:
    """Names as small labels, as many as can be looked through."""
    st.html(chips_html(named, name))


def chips_html(named: Sequence[object], name: Callable[[Any], str] = str, most: int = 400) -> str:
    """The HTML of `chips`, everything escaped.

    Args:
        named: What has a label each.
        name: The text of a label.
        most: How many labels; then it says how many more there are.
    """
    labels = "".join(f'<span class="cv-chip">{escape(name(one))}</span>' for one in named[:most])
    more = f"<span>and {len(named) - most:,} more</span>" if len(named) > most else ""
    return f'<div class="cv-chips">{labels}{more}</div>'


def draw_chart(
    chart: Chart,
    *,
    key: str,
    heading: str = "",
    on_point: Callable[[list[Any]], None] | None = None,
    columns: Mapping[str, Any] | None = None,
) -> None:
    """A chart with its caption and, folded away, how to read it and its numbers as a table.

    Several charts are better all built before the first is drawn: the browser then shows what was
    sent before them, instead of being busy with the first of them.

    Args:
        chart: What to draw.
        key: Names the chart, for tests and for its state.
        heading: Stands above it.
        on_point: Called with the `customdata` of a point that was clicked.
        columns: `column_config` of the table.
    """
    if heading:
        st.header(heading, anchor=False)
    if on_point is None:
        st.plotly_chart(chart.figure, key=key, config=CHART_CONFIG, alt=chart.alt)
    else:
        # A click on a figure that is about to be replaced counts: each figure has a key of its own.
        own = listing_key(key, [str(chart.figure.to_json())])
        with st.container(key=key):
            st.plotly_chart(
                chart.figure,
                key=own,
                config=CHART_CONFIG,
                alt=chart.alt,
                selection_mode="points",
                on_select=when_changed(own, lambda event: _pass_point(event, on_point)),
            )
    st.caption(chart.caption)
    if chart.reading:
        how_to_read(chart.reading, key=key)
    if chart.twin is not None:
        table_twin(chart.twin, key=f"{key}_table", columns=columns)


def _pass_point(event: Mapping[str, Any], on_point: Callable[[list[Any]], None]) -> None:
    points = event["selection"]["points"]
    data = [point["customdata"] for point in points if point.get("customdata") is not None]
    # A second click on a point deselects it, which says nothing.
    if data:
        value = data[0]
        on_point(list(value.values()) if isinstance(value, dict) else list(value))


def table_twin(frame: pd.DataFrame, *, key: str, columns: Mapping[str, Any] | None = None) -> None:
    """The numbers of a chart as a table, folded away."""
    with st.expander("Show as a table", icon=":material/table:", key=f"{key}_fold"):
        st.dataframe(frame, hide_index=True, column_config=dict(columns or {}), key=key)


def table(frame: pd.DataFrame, *, key: str) -> None:
    """Show a small frame whole: words wrap, screen readers read it, the first column names rows.

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


def selectable_table(
    rows: pd.DataFrame, take: Callable[[int], None], *, key: str, **look: Any
) -> None:
    """A table of which a row can be selected.

    Args:
        rows: The table.
        take: Called with the number of a row that is selected.
        key: Made by `listing_key` of all rows.
        look: Further arguments of `st.dataframe`.
    """

    def pick(event: Mapping[str, Any]) -> None:
        if selected := event["selection"]["rows"]:
            take(selected[0])

    st.dataframe(
        rows,
        hide_index=True,
        key=key,
        on_select=when_changed(key, pick),
        selection_mode="single-row",
        **look,
    )


def download(
    label: str,
    data: str | bytes | Callable[[], str | bytes],
    file_name: str,
    mime: str,
    *,
    key: str,
    icon: str = "download",
    **look: Any,
) -> None:
    """A button that downloads a file, which is made when it is pressed if `data` makes it.

    Args:
        label: On the button.
        data: What is in the file, or what makes it.
        file_name: Its name.
        mime: Its media type.
        key: Of the button.
        icon: Its symbol.
        look: Further arguments of `st.download_button`.
    """
    st.download_button(
        label,
        data,
        file_name,
        mime,
        key=key,
        icon=f":material/{icon}:",
        on_click="ignore",
        **look,
    )


def warn(problems: Sequence[str]) -> None:
    """What could not be read from a link; a link's own words are shown as they are."""
    for problem in problems:
        st.warning(literal(problem), icon=":material/link_off:")


def error(text: str) -> None:
    """What went wrong; the words of users, links and files in it are shown as they are."""
    st.error(literal(text), icon=":material/error:")


def last_error(key: str) -> None:
    """What went wrong in a callback, which kept it in the session's state for the page to say."""
    if problem := st.session_state.pop(key, None):
        error(problem)
