"""Rates against sizes, shares and epochs, each line with its interval, and losses over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from circuitviz.evaluation.rate import Rate
from circuitviz.narrative.numbers import percent, sparsity
from circuitviz.narrative.phrases import share_axis
from circuitviz.narrative.tuning_story import arm_title
from circuitviz.plots.palette import (
    ASR,
    NEUTRAL,
    PERCENT_AXIS,
    RECOVERY,
    RUN_STYLES,
    SERIES_LABELS,
    SERIES_STYLES,
    UTILITY,
    WRITTEN,
    Style,
    clickable,
    finish,
    rate_hover,
    translucent,
)
from circuitviz.runs.tuning_store import ARMS
from circuitviz.tables.rows import Row, matching, records

ARM_STYLES: dict[str, Style] = dict(zip(ARMS, RUN_STYLES, strict=False))

SIZE_PIXELS, ALONE_PIXELS, LOSS_PIXELS, TUNING_PIXELS = 430, 300, 300, 320
# Where size 0, the intact model, stands on an axis that has no zero.
INTACT_POSITION, BREAK_POSITION = 0.4, 0.63
DOTTED = {"color": NEUTRAL, "width": 1.5, "dash": "dot"}
ALONE_STYLES = {
    "shown": ("Behaviour, circuit kept", Style(ASR, "circle")),
    "random": ("Behaviour, random circuit kept", Style(NEUTRAL, "x", "dash")),
    "utility": ("Utility, circuit kept", Style(UTILITY, "square", "dot")),
}
LOSS_STYLES = {
    "removal": ("Behaviour still there (removal)", ASR, "solid"),
    "utility": ("Normal answers changed (utility)", UTILITY, "dash"),
    "sufficiency": ("Circuit alone (sufficiency)", RECOVERY, "dot"),
}


@dataclass(frozen=True)
class Line:
    """One line of rates.

    Attributes:
        name: Its name in the legend.
        xs: Where its points stand.
        rows: What they are: `rate`, `low`, `high`.
        hover: What each says.
        style: Its colour, symbol and dash.
    """

    name: str
    xs: Sequence[float]
    rows: Sequence[Row]
    hover: Sequence[str]
    style: Style


def add_lines(
    figure: go.Figure, lines: Sequence[Line], *, opacity: float = 0.16, sizes: bool = False
) -> None:
    """Lines over their 95 % intervals, which lie below all of them.

    Args:
        figure: Where to.
        lines: What.
        opacity: Of the intervals.
        sizes: Whether a click on a point gives its `size`.
    """
    for line in lines:
        figure.add_scatter(
            x=[*line.xs, *reversed(line.xs)],
            y=[row["high"] for row in line.rows] + [row["low"] for row in reversed(line.rows)],
            mode="lines",
            line={"width": 0},
            fill="toself",
            fillcolor=translucent(line.style.colour, opacity),
            hoverinfo="skip",
            showlegend=False,
            name="95 % interval",
        )
    for line in lines:
        colour = line.style.colour
        figure.add_scatter(
            x=list(line.xs),
            y=[row["rate"] for row in line.rows],
            mode="lines+markers",
            line={"color": colour, "width": 2.5, "dash": line.style.dash},
            marker={"symbol": line.style.symbol, "size": 9, "color": colour},
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            customdata=[[int(row["size"])] for row in line.rows] if sizes else None,
            hovertext=line.hover,
            hovertemplate=WRITTEN,
            name=line.name,
        )


def tradeoff_curve(
    frame: pd.DataFrame,
    *,
    n_units: int,
    chosen: int | None = None,
    target_asr: float | None = None,
    control: tuple[int, Rate] | None = None,
) -> go.Figure:
    """One line per series with its 95 % interval as a band, and the chosen size marked.

    Args:
        frame: Columns `TRADEOFF_COLUMNS` of `circuitviz.tables.frame`; rates in [0, 1].
        n_units: Units of the model, for the sparsity below each size.
        chosen: The size in use: a vertical line and ringed points.
        target_asr: The ASR discovery had to reach: a dotted horizontal line.
        control: Size of random circuits and the ASR with them off: a cross with its interval.
    """
    figure = go.Figure()
    by_size = frame.sort_values("size")
    lines = []
    for series, label in SERIES_LABELS.items():
        rows = records(matching(by_size, series=series))
        if rows:
            hover = [rate_hover(row, f"{label} {percent(row['rate'])}", _off(row)) for row in rows]
            xs = [log_position(row["size"]) for row in rows]
            lines.append(Line(label, xs, rows, hover, SERIES_STYLES[series]))
    add_lines(figure, lines, sizes=True)
    if target_asr is not None:
        _add_target(figure, target_asr)
    if control is not None:
        _add_control(figure, *control)
    if chosen is not None:
        rows = records(matching(frame, size=chosen))
        figure.add_vline(x=log_position(chosen), line={"color": NEUTRAL, "width": 2})
        colours = [SERIES_STYLES[row["series"]].colour for row in rows]
        _add_rings(figure, rows, colours, "chosen size", size=19, width=3)
    _size_axes(figure, frame, n_units, share_axis(frame["judge"]))
    clickable(figure)
    return finish(figure, height=SIZE_PIXELS, legend=True)


def overlay_curve(
    frame: pd.DataFrame, *, order: Sequence[str], series: str, n_units: int
) -> go.Figure:
    """One line per run; each has a colour, a symbol and a dash of its own.

    Args:
        frame: Columns of `overlay_frame` (`circuitviz.tables.comparison_frame`); rates in [0, 1].
        order: Labels of the runs; the place in it decides the style, whichever are drawn.
        series: What the rates are: `asr`, `utility` or `recovery`.
        n_units: Units of the model, for the share below each size.
    """
    figure = go.Figure()
    for index, label in enumerate(order):
        style = RUN_STYLES[index % len(RUN_STYLES)]
        rows = records(matching(frame, run=label).sort_values("size"))
        if not rows:
            continue
        what = SERIES_LABELS[series]
        hover = [
            rate_hover(row, label, f"{what} {percent(row['rate'])}", _off(row)) for row in rows
        ]
        xs = [log_position(row["size"]) for row in rows]
        add_lines(figure, [Line(label, xs, rows, hover, style)], opacity=0.1)
        ringed = [row for row in rows if row["chosen"]]
        name = f"size chosen by {label}"
        _add_rings(figure, ringed, style.colour, name, size=18, width=2.5)
    share = share_axis(frame["judge"])
    title = f"{SERIES_LABELS[series]}, {share[0].lower()}{share[1:]}"
    _size_axes(figure, frame, n_units, title)
    figure.update_layout(hovermode="closest")
    return finish(figure, height=SIZE_PIXELS, legend=True)


def log_position(size: float) -> float:
    """Where a size stands on the log axis; 0, the intact model, left of 1."""
    return size if size > 0 else INTACT_POSITION


def _off(row: Row) -> str:
    size = int(row["size"])
    return f"{size:,} units off ({sparsity(row['sparsity'])})" if size else "intact model"


def _size_axes(figure: go.Figure, frame: pd.DataFrame, n_units: int, title: str) -> None:
    """The axes of rates over sizes, whose points stand at `log_position`."""
    largest = max(frame["size"], default=1)
    figure.add_vline(x=BREAK_POSITION, line={"color": NEUTRAL, "width": 1, "dash": "dot"})
    powers = [4**power for power in range(8) if 4**power <= max(largest, 1)]
    figure.update_xaxes(
        type="log",
        title="Units knocked out, and their share of the model (log scale)",
        tickvals=[INTACT_POSITION, *powers],
        ticktext=["0<br>intact"] + [f"{size:,}<br>{sparsity(size / n_units)}" for size in powers],
        range=[np.log10(INTACT_POSITION * 0.8), np.log10(max(largest, 2) * 1.25)],
    )
    figure.update_yaxes(title=title, range=[-0.04, 1.04], **PERCENT_AXIS)


def _add_target(figure: go.Figure, target: float) -> None:
    # At the end where the curve of the attacks is far from its target: there nothing lies on it.
    low = target < 0.5
    figure.add_hline(
        y=target,
        line=DOTTED,
        annotation={
            "text": f"target: attack success {percent(target)}",
            "font": {"size": 11, "color": NEUTRAL},
            "xanchor": "right" if low else "left",
            # Clear of the last marks, which stand on the same line, and of the axis break.
            "xshift": -40 if low else 70,
            "yanchor": "bottom" if low else "top",
        },
        annotation_position="top right" if low else "bottom left",
    )


def _add_control(figure: go.Figure, size: int, rate: Rate) -> None:
    figure.add_scatter(
        x=[log_position(size)],
        y=[rate.rate],
        mode="markers",
        marker={"symbol": "x", "size": 11, "color": NEUTRAL},
        error_y={
            "type": "data",
            "array": [rate.high - rate.rate],
            "arrayminus": [rate.rate - rate.low],
            "thickness": 2,
        },
        customdata=[[size]],
        hovertemplate=(
            f"<b>Random circuits: attack success {percent(rate.rate)}</b><br>{size:,} units off"
            f"<br>{rate.k:,} of {rate.n:,}<extra></extra>"
        ),
        name="Attack success, random circuit",
    )


def _add_rings(
    figure: go.Figure, rows: list[Row], colour: str | list[str], name: str, size: int, width: float
) -> None:
    figure.add_scatter(
        x=[log_position(row["size"]) for row in rows],
        y=[row["rate"] for row in rows],
        mode="markers",
        marker={"symbol": "circle-open", "size": size, "color": colour, "line": {"width": width}},
        hoverinfo="skip",
        showlegend=False,
        name=name,
    )


def stochastic_curve(frame: pd.DataFrame) -> go.Figure:
    """One line per series with its 95 % interval as a band.

    Args:
        frame: Columns `STOCHASTIC_COLUMNS` of `circuitviz.tables.evidence_frame`; all in [0, 1].
    """
    figure = go.Figure()
    lines = []
    for series, (label, style) in ALONE_STYLES.items():
        rows = records(matching(frame, series=series).sort_values("share"))
        hover = [
            rate_hover(
                row,
                f"{label} {percent(row['rate'])}",
                f"{percent(row['share'], 0)} of the rest ablated",
            )
            for row in rows
        ]
        if rows:
            lines.append(Line(label, [row["share"] for row in rows], rows, hover, style))
    add_lines(figure, lines)
    figure.update_xaxes(
        title="Share of all other units ablated", range=[-0.03, 1.03], tickformat=".0%"
    )
    figure.update_yaxes(title=share_axis(frame["judge"]), range=[-0.04, 1.04], **PERCENT_AXIS)
    figure.update_layout(hovermode="closest")
    return finish(figure, height=ALONE_PIXELS, legend=True)


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
    """The lines of `loss_curve` as a table: step, and a column a loss; missing if not known yet."""
    columns = {}
    for name, values in losses.items():
        latest = list(values)[-len(steps) :] if steps else []
        columns[name] = [None] * (len(steps) - len(latest)) + latest
    return pd.DataFrame({"step": list(steps), **columns})


def tuning_curve(frame: pd.DataFrame, *, series: str, mode: str, epochs: int) -> go.Figure:
    """One line per arm with its 95 % interval; a dotted level shows where all began.

    Args:
        frame: Columns `CURVE_RATE_COLUMNS` of `circuitviz.tables.tuning_frame`; may be empty.
        series: `safety` or `helpfulness`.
        mode: Mode of the tuning, for the names of the arms.
        epochs: End of the epoch axis, so that it does not move while the lines grow.
    """
    rates = matching(frame, series=series)
    figure = go.Figure()
    # The first arm is drawn last: where lines coincide, the circuit's is the one that is seen.
    for rank, arm in reversed(list(enumerate(dict.fromkeys(rates["arm"]), start=1))):
        rows, title = records(matching(rates, arm=arm)), arm_title(mode, str(arm))
        hover = [
            rate_hover(row, title, f"after epoch {row['epoch']}: {percent(row['rate'])}")
            for row in rows
        ]
        style = ARM_STYLES.get(arm, RUN_STYLES[-1])
        xs = [float(row["epoch"]) for row in rows]
        add_lines(figure, [Line(title, xs, rows, hover, style)], opacity=0.1)
        figure.update_traces(legendrank=rank, selector={"name": title})
    for row in records(matching(rates, epoch=0))[:1]:
        figure.add_hline(
            y=row["rate"],
            line=DOTTED,
            annotation={"text": "before", "font": {"color": NEUTRAL, "size": 12}},
            annotation_position="top right" if row["rate"] < 0.9 else "bottom right",
        )
    figure.update_xaxes(
        title="Epoch",
        range=[-0.15, max(epochs, 1) + 0.15],
        tickformat="d",
        showgrid=False,
        dtick=1 if epochs <= 12 else None,
    )
    title = f"{series.capitalize()}, share of prompts"
    figure.update_yaxes(title=title, range=[-0.03, 1.06], tickformat=".0%")
    figure.update_layout(hovermode="closest")
    return finish(figure, height=TUNING_PIXELS, legend=True)
