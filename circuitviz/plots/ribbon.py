"""A line of rates with its 95 % interval as a band behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from circuitviz.plots.palette import translucent
from circuitviz.plots.rows import Row

__all__ = ["add_band", "add_line"]


def add_band(
    figure: go.Figure, xs: Sequence[float], rows: Sequence[Row], colour: str, opacity: float = 0.16
) -> None:
    """The area between `low` and `high` of the rows, over their positions."""
    figure.add_scatter(
        x=[*xs, *reversed(xs)],
        y=[row["high"] for row in rows] + [row["low"] for row in reversed(rows)],
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=translucent(colour, opacity),
        hoverinfo="skip",
        showlegend=False,
        name="95 % interval",
    )


def add_line(
    figure: go.Figure,
    xs: Sequence[float],
    rows: Sequence[Row],
    name: str,
    *,
    colour: str,
    symbol: str,
    dash: str,
    hover: list[str],
    customdata: list[list[Any]] | None = None,
) -> None:
    """The `rate` of the rows over their positions, told from others by more than its colour."""
    figure.add_scatter(
        x=list(xs),
        y=[row["rate"] for row in rows],
        mode="lines+markers",
        line={"color": colour, "width": 2.5, "dash": dash},
        marker={"symbol": symbol, "size": 9, "color": colour},
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        customdata=customdata,
        hovertext=hover,
        hovertemplate="%{hovertext}<extra></extra>",
        name=name,
    )
