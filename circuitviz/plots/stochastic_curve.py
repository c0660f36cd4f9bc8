"""The circuit alone: how much of the rest may go before the behaviour does."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.judged import share_axis
from circuitviz.plots.palette import ASR, NEUTRAL, UTILITY, finish
from circuitviz.plots.ribbon import add_band, add_line
from circuitviz.plots.rows import Row, matching, records
from circuitviz.plots.text import percent

__all__ = ["stochastic_curve"]

CURVE_PIXELS = 300
STYLES = {
    "shown": ("Behaviour, circuit kept", ASR, "circle", "solid"),
    "random": ("Behaviour, random circuit kept", NEUTRAL, "x", "dash"),
    "utility": ("Utility, circuit kept", UTILITY, "square", "dot"),
}


def stochastic_curve(frame: pd.DataFrame) -> go.Figure:
    """One line per series with its 95 % interval as a band.

    Args:
        frame: Columns `STOCHASTIC_COLUMNS` of `circuitviz.plots.evidence_frame`; all in [0, 1].
    """
    figure = go.Figure()
    parts = {
        name: records(matching(frame, series=name).sort_values("share"))
        for name in STYLES
        if name in set(frame["series"])
    }
    for name, rows in parts.items():
        add_band(figure, [row["share"] for row in rows], rows, STYLES[name][1])
    for name, rows in parts.items():
        label, colour, symbol, dash = STYLES[name]
        add_line(
            figure,
            [row["share"] for row in rows],
            rows,
            label,
            colour=colour,
            symbol=symbol,
            dash=dash,
            hover=[_hover(label, row) for row in rows],
        )
    figure.update_xaxes(
        title="Share of all other units ablated", range=[-0.03, 1.03], tickformat=".0%"
    )
    figure.update_yaxes(
        title=share_axis(frame["judge"]),
        range=[-0.04, 1.04],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        tickformat=".0%",
    )
    figure.update_layout(hovermode="closest")
    return finish(figure, height=CURVE_PIXELS, legend=True)


def _hover(label: str, row: Row) -> str:
    return (
        f"<b>{label} {percent(row['rate'])}</b><br>{percent(row['share'], 0)} of the rest ablated"
        f"<br>{row['k']:,} of {row['n']:,}, 95 % {percent(row['low'])} to {percent(row['high'])}"
    )
