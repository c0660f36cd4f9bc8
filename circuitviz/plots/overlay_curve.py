"""One rate against the size of the circuit, several runs on the same axes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.judged import share_axis
from circuitviz.plots.palette import RUN_STYLES, SERIES_LABELS, finish
from circuitviz.plots.ribbon import add_band, add_line
from circuitviz.plots.rows import Row, matching, records
from circuitviz.plots.text import percent, sparsity
from circuitviz.plots.tradeoff_curve import log_position, size_axis

__all__ = ["overlay_curve"]

CURVE_PIXELS = 430


def overlay_curve(
    frame: pd.DataFrame, *, order: Sequence[str], series: str, n_units: int
) -> go.Figure:
    """One line per run; each has a colour, a symbol and a dash of its own.

    Args:
        frame: Columns of `overlay_frame` (`circuitviz.plots.overlay_frame`); rates in [0, 1].
        order: Labels of the runs; the place in it decides the style, whichever are drawn.
        series: What the rates are: `asr`, `utility` or `recovery`.
        n_units: Units of the model, for the share below each size.
    """
    figure = go.Figure()
    for place, label in enumerate(order):
        style = RUN_STYLES[place % len(RUN_STYLES)]
        rows = records(matching(frame, run=label).sort_values("size"))
        if not rows:
            continue
        xs = [log_position(row["size"]) for row in rows]
        add_band(figure, xs, rows, style.colour, opacity=0.1)
        add_line(
            figure,
            xs,
            rows,
            label,
            colour=style.colour,
            symbol=style.symbol,
            dash=style.dash,
            hover=[_hover(row, series) for row in rows],
        )
        chosen = [row for row in rows if row["chosen"]]
        figure.add_scatter(
            x=[log_position(row["size"]) for row in chosen],
            y=[row["rate"] for row in chosen],
            mode="markers",
            marker={
                "symbol": "circle-open",
                "size": 18,
                "color": style.colour,
                "line": {"width": 2.5},
            },
            hoverinfo="skip",
            showlegend=False,
            name=f"size chosen by {label}",
        )
    size_axis(figure, max((row["size"] for row in records(frame)), default=1), n_units)
    share = share_axis(frame["judge"])
    figure.update_yaxes(title=f"{SERIES_LABELS[series]}, {share[0].lower()}{share[1:]}")
    figure.update_layout(hovermode="closest")
    return finish(figure, height=CURVE_PIXELS, legend=True)


def _hover(row: Row, series: str) -> str:
    size = int(row["size"])
    place = "intact model" if size == 0 else f"{size:,} units off ({sparsity(row['sparsity'])})"
    return (
        f"<b>{row['run']}</b><br>{SERIES_LABELS[series]} {percent(row['rate'])}<br>{place}"
        f"<br>{row['k']:,} of {row['n']:,}, 95 % {percent(row['low'])} to {percent(row['high'])}"
    )
