"""The claim and its controls in one picture."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.judged import share_axis
from circuitviz.plots.palette import (
    NEUTRAL,
    SERIES_COLOURS,
    SERIES_LABELS,
    SERIES_SYMBOLS,
    finish,
)
from circuitviz.plots.rows import Row, matching, records
from circuitviz.plots.text import percent

__all__ = ["before_after"]

ROW_PIXELS = 62
VALUES_AT = 1.04
OFFSETS = {"asr": 0.17, "utility": -0.17}


def before_after(frame: pd.DataFrame) -> go.Figure:
    """ASR and utility of each condition, as points with their 95 % intervals.

    Args:
        frame: Columns `CONDITION_COLUMNS` of `circuitviz.plots.frame`, in the order shown.
    """
    conditions = list(dict.fromkeys(frame["condition"]))
    rows_at = {name: len(conditions) - 1 - place for place, name in enumerate(conditions)}
    figure = go.Figure()
    for series in ("asr", "utility"):
        rows = records(matching(frame, series=series))
        ys = [rows_at[name] + OFFSETS[series] for name in _column(rows, "condition")]
        _add_stems(figure, rows, ys, series)
        figure.add_scatter(
            x=_column(rows, "rate"),
            y=ys,
            mode="markers",
            marker={
                "symbol": SERIES_SYMBOLS[series],
                "size": 13,
                "color": SERIES_COLOURS[series],
            },
            error_x={
                "type": "data",
                "array": [row["high"] - row["rate"] for row in rows],
                "arrayminus": [row["rate"] - row["low"] for row in rows],
                "thickness": 2,
                "width": 5,
            },
            hovertext=[
                f"<b>{row['condition']}</b><br>{SERIES_LABELS[series]} "
                f"{percent(row['rate'])}<br>{row['k']:,} of {row['n']:,}, 95 % "
                f"{percent(row['low'])} to {percent(row['high'])}"
                for row in rows
            ],
            hovertemplate="%{hovertext}<extra></extra>",
            name=SERIES_LABELS[series],
            cliponaxis=False,
        )
        _add_values(figure, rows, ys, series)
    figure.update_xaxes(
        range=[-0.03, VALUES_AT + 0.24],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        tickformat=".0%",
        title=share_axis(frame["judge"]),
    )
    figure.update_yaxes(
        tickvals=list(rows_at.values()),
        ticktext=[f"<b>{name}</b>" if name == "Circuit off" else name for name in rows_at],
        range=[-0.5, len(conditions) - 0.5],
        showgrid=False,
    )
    for edge in range(1, len(conditions)):
        figure.add_hline(y=edge - 0.5, line={"color": NEUTRAL, "width": 0.5})
    return finish(figure, height=len(conditions) * ROW_PIXELS + 110, legend=True)


def _column(rows: list[Row], name: str) -> list[Any]:
    return [row[name] for row in rows]


def _add_values(figure: go.Figure, rows: list[Row], ys: list[float], series: str) -> None:
    # In a column of their own: beside the points they would lie on lines and intervals.
    figure.add_scatter(
        x=[VALUES_AT] * len(rows),
        y=ys,
        mode="text",
        text=[f"<b>{percent(rate)}</b>" for rate in _column(rows, "rate")],
        textposition="middle right",
        textfont={"size": 13, "color": SERIES_COLOURS[series]},
        hoverinfo="skip",
        showlegend=False,
        name="value",
        # On a narrow page they reach into the margin.
        cliponaxis=False,
    )


def _add_stems(figure: go.Figure, rows: list[Row], ys: list[float], series: str) -> None:
    xs: list[float | None] = []
    stem_ys: list[float | None] = []
    for rate, y in zip(_column(rows, "rate"), ys, strict=True):
        xs += [0.0, rate, None]
        stem_ys += [y, y, None]
    figure.add_scatter(
        x=xs,
        y=stem_ys,
        mode="lines",
        line={"color": SERIES_COLOURS[series], "width": 5},
        opacity=0.35,
        hoverinfo="skip",
        showlegend=False,
        name="stem",
    )
