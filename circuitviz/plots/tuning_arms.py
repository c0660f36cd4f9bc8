"""Where each arm of a tuning ends: safety and helpfulness side by side."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.palette import NEUTRAL, RECOVERY, UTILITY, finish
from circuitviz.plots.rows import Row, matching, records
from circuitviz.plots.text import percent

__all__ = ["tuning_arms"]

ROW_PIXELS = 58
VALUES_AT = 1.04
STYLES = {
    "safety": ("Safety", RECOVERY, "diamond", 0.17),
    "helpfulness": ("Helpfulness", UTILITY, "square", -0.17),
}


def tuning_arms(frame: pd.DataFrame) -> go.Figure:
    """A row per arm: two points with their 95 % intervals, and their values beside them.

    Args:
        frame: Columns `ARM_COLUMNS` of `circuitviz.plots.tuning_frame`, in the order shown.
    """
    titles = dict(zip(frame["arm"], frame["title"], strict=True))
    places = {arm: len(titles) - 1 - place for place, arm in enumerate(titles)}
    figure = go.Figure()
    for series in STYLES:
        _add_series(figure, records(matching(frame, series=series)), places, series)
    figure.update_xaxes(
        range=[-0.03, VALUES_AT + 0.16],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        tickformat=".0%",
        title="Share of test prompts",
    )
    figure.update_yaxes(
        tickvals=list(places.values()),
        ticktext=[
            f"<b>{title}</b>" if arm == "circuit" else title for arm, title in titles.items()
        ],
        range=[-0.5, len(places) - 0.5],
        showgrid=False,
    )
    for edge in range(1, len(places)):
        figure.add_hline(y=edge - 0.5, line={"color": NEUTRAL, "width": 0.5})
    return finish(figure, height=len(places) * ROW_PIXELS + 110, legend=True)


def _add_series(figure: go.Figure, rows: list[Row], places: dict[str, int], series: str) -> None:
    label, colour, symbol, offset = STYLES[series]
    ys = [places[row["arm"]] + offset for row in rows]
    figure.add_scatter(
        x=[row["rate"] for row in rows],
        y=ys,
        mode="markers",
        marker={"symbol": symbol, "size": 13, "color": colour},
        error_x={
            "type": "data",
            "array": [row["high"] - row["rate"] for row in rows],
            "arrayminus": [row["rate"] - row["low"] for row in rows],
            "thickness": 2,
            "width": 5,
        },
        hovertext=[
            f"<b>{row['title']}</b><br>{label} {percent(row['rate'])}<br>{row['k']:,} of "
            f"{row['n']:,}, 95 % {percent(row['low'])} to {percent(row['high'])}"
            for row in rows
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        name=label,
        cliponaxis=False,
    )
    # In a column of their own: beside the points they would lie on the intervals.
    figure.add_scatter(
        x=[VALUES_AT] * len(rows),
        y=ys,
        mode="text",
        text=[f"<b>{percent(row['rate'])}</b>" for row in rows],
        textposition="middle right",
        textfont={"size": 13, "color": colour},
        hoverinfo="skip",
        showlegend=False,
        name="value",
    )
