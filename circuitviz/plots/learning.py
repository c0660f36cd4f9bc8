"""How learning and tuning went, and where tuning ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.palette import ASR, NEUTRAL, RECOVERY, RUN_STYLES, UTILITY, finish
from circuitviz.plots.text import Row, matching, percent, records
from circuitviz.plots.tradeoff import add_band, add_line
from circuitviz.plots.tuning_story import ARM_STYLES, arm_title

LOSS_PIXELS = 300
LOSS_STYLES = {
    "removal": ("Behaviour still there (removal)", ASR, "solid"),
    "utility": ("Normal answers changed (utility)", UTILITY, "dash"),
    "sufficiency": ("Circuit alone (sufficiency)", RECOVERY, "dot"),
}

CURVE_PIXELS = 320
SERIES_TITLES = {"safety": "Safety", "helpfulness": "Helpfulness"}
ROW_PIXELS = 58
VALUES_AT = 1.04
STYLES = {
    "safety": ("Safety", RECOVERY, "diamond", 0.17),
    "helpfulness": ("Helpfulness", UTILITY, "square", -0.17),
}


def loss_curve(
    steps: Sequence[int], losses: Mapping[str, Sequence[float]], total_steps: int
) -> go.Figure:
    """One line per loss, nats per answer token, over the optimiser steps.

    Args:
        steps: [points], the step of each value.
        losses: By name, [points] each; the latest points win if a list is longer than `steps`.
        total_steps: End of the step axis, so that it does not move while the lines grow.
    """
    figure = go.Figure()
    for name, values in losses.items():
        label, colour, dash = LOSS_STYLES.get(name, (name, NEUTRAL, "dashdot"))
        points = min(len(steps), len(values))
        figure.add_scatter(
            x=list(steps)[-points:] if points else [],
            y=list(values)[-points:] if points else [],
            mode="lines",
            line={"color": colour, "width": 2.5, "dash": dash},
            hovertemplate="step %{x}: %{y:.3f}<extra>" + label + "</extra>",
            name=label,
        )
    figure.update_xaxes(title="Step", range=[0, max(total_steps, 1)], showgrid=False)
    figure.update_yaxes(title="Loss (nats per token)", rangemode="tozero")
    return finish(figure, height=LOSS_PIXELS, legend=True)


def loss_frame(steps: Sequence[int], losses: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """The lines as a table: step, and a column a loss; missing where it is not known yet.

    Args:
        steps: [points], the step of each value.
        losses: By name, [points] each; the latest points win if a list is longer than `steps`.
    """
    columns = {}
    for name, values in losses.items():
        latest = list(values)[-len(steps) :] if steps else []
        columns[name] = [None] * (len(steps) - len(latest)) + latest
    return pd.DataFrame({"step": list(steps), **columns})


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
