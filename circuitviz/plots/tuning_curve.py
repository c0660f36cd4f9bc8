"""How safe, or how helpful, each arm of a tuning is after each epoch."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.palette import NEUTRAL, RUN_STYLES, finish
from circuitviz.plots.ribbon import add_band, add_line
from circuitviz.plots.rows import Row, matching, records
from circuitviz.plots.text import percent
from circuitviz.plots.tuning_story import ARM_STYLES, arm_title

__all__ = ["tuning_curve"]

CURVE_PIXELS = 320
SERIES_TITLES = {"safety": "Safety", "helpfulness": "Helpfulness"}


def tuning_curve(frame: pd.DataFrame, *, series: str, mode: str, epochs: int) -> go.Figure:
    """One line per arm with its 95 % interval; a dotted level shows where all began.

    Args:
        frame: Columns `CURVE_RATE_COLUMNS` of `circuitviz.plots.tuning_frame`; may be empty.
        series: `safety` or `helpfulness`.
        mode: Mode of the tuning, for the names of the arms.
        epochs: End of the epoch axis, so that it does not move while the lines grow.
    """
    rates = matching(frame, series=series)
    figure = go.Figure()
    arms = list(dict.fromkeys(rates["arm"]))
    # The first arm is drawn last: where lines coincide, the circuit's is the one that is seen.
    for place, arm in reversed(list(enumerate(arms))):
        _add_arm(figure, records(matching(rates, arm=arm)), str(arm), mode)
        figure.update_traces(legendrank=place + 1, selector={"name": arm_title(mode, str(arm))})
    before = records(matching(rates, epoch=0))
    if before:
        figure.add_hline(
            y=before[0]["rate"],
            line={"color": NEUTRAL, "width": 1.5, "dash": "dot"},
            annotation={"text": "before", "font": {"color": NEUTRAL, "size": 12}},
            annotation_position="top right" if before[0]["rate"] < 0.9 else "bottom right",
        )
    figure.update_xaxes(
        title="Epoch", range=[-0.15, max(epochs, 1) + 0.15], tickformat="d", showgrid=False
    )
    if epochs <= 12:
        figure.update_xaxes(dtick=1)
    figure.update_yaxes(
        title=f"{SERIES_TITLES[series]}, share of prompts", range=[-0.03, 1.06], tickformat=".0%"
    )
    figure.update_layout(hovermode="closest")
    return finish(figure, height=CURVE_PIXELS, legend=True)


def _add_arm(figure: go.Figure, rows: list[Row], arm: str, mode: str) -> None:
    style = ARM_STYLES.get(arm, RUN_STYLES[-1])
    title = arm_title(mode, arm)
    xs = [float(row["epoch"]) for row in rows]
    add_band(figure, xs, rows, style.colour, opacity=0.1)
    add_line(
        figure,
        xs,
        rows,
        title,
        colour=style.colour,
        symbol=style.symbol,
        dash=style.dash,
        hover=[
            f"<b>{title}</b><br>after epoch {row['epoch']}: {percent(row['rate'])}<br>"
            f"{row['k']:,} of {row['n']:,}, 95 % {percent(row['low'])} to {percent(row['high'])}"
            for row in rows
        ],
    )
