"""Rates against the size of the circuit, and what ablating ever more of the rest does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from circuitviz.evaluation.rate import Rate
from circuitviz.plots.judged import PROMPT_SHARE, share_axis
from circuitviz.plots.maps import add_click_targets, add_outlines, add_symbols
from circuitviz.plots.palette import (
    ASR,
    NEUTRAL,
    RUN_STYLES,
    SEQUENTIAL,
    SERIES_COLOURS,
    SERIES_DASHES,
    SERIES_LABELS,
    SERIES_SYMBOLS,
    UTILITY,
    finish,
    rows_height,
    translucent,
)
from circuitviz.plots.text import Row, matching, percent, records, sparsity

CURVE_PIXELS = 430
# Where size 0, the intact model, stands on an axis that has no zero.
INTACT_POSITION = 0.4
BREAK_POSITION = 0.63
ROW_PIXELS = 40
LEGEND_PIXELS = 104
STOCHASTIC_PIXELS = 300
STYLES = {
    "shown": ("Behaviour, circuit kept", ASR, "circle", "solid"),
    "random": ("Behaviour, random circuit kept", NEUTRAL, "x", "dash"),
    "utility": ("Utility, circuit kept", UTILITY, "square", "dot"),
}


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


def log_position(size: float) -> float:
    """Where a size stands on the log axis; 0, the intact model, left of 1."""
    return size if size > 0 else INTACT_POSITION


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
        frame: Columns `TRADEOFF_COLUMNS` of `circuitviz.plots.frame`; rates in [0, 1].
        n_units: Units of the model, for the sparsity below each size.
        chosen: The size in use: a vertical line and ringed points.
        target_asr: The ASR discovery had to reach: a dotted horizontal line.
        control: Size of random circuits and the ASR with them off: a cross with its interval.
    """
    figure = go.Figure()
    series_found = [name for name in SERIES_COLOURS if name in set(frame["series"])]
    by_size = frame.sort_values("size")
    parts = {name: records(matching(by_size, series=name)) for name in series_found}
    for name, rows in parts.items():
        add_band(figure, [log_position(row["size"]) for row in rows], rows, SERIES_COLOURS[name])
    for name, rows in parts.items():
        add_line(
            figure,
            [log_position(row["size"]) for row in rows],
            rows,
            SERIES_LABELS[name],
            colour=SERIES_COLOURS[name],
            symbol=SERIES_SYMBOLS[name],
            dash=SERIES_DASHES[name],
            hover=[_hover(row) for row in rows],
            customdata=[[int(row["size"])] for row in rows],
        )
    if target_asr is not None:
        _add_target(figure, target_asr)
    if control is not None:
        _add_control(figure, *control)
    if chosen is not None:
        _mark(figure, records(matching(frame, size=chosen)), chosen)
    size_axis(figure, max((row["size"] for row in records(frame)), default=1), n_units)
    figure.update_yaxes(title=share_axis(frame["judge"]))
    figure.update_layout(hovermode="closest", hoverdistance=-1, clickmode="event+select")
    return finish(figure, height=CURVE_PIXELS, legend=True)


def _add_target(figure: go.Figure, target: float) -> None:
    # At the end where the curve of the attacks is far from its target: there nothing lies on it.
    low = target < 0.5
    figure.add_hline(
        y=target,
        line={"color": NEUTRAL, "width": 1.5, "dash": "dot"},
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


def _hover(row: Row) -> str:
    size = int(row["size"])
    place = "intact model" if size == 0 else f"{size:,} units off ({sparsity(row['sparsity'])})"
    return (
        f"<b>{SERIES_LABELS[str(row['series'])]} {percent(row['rate'])}</b><br>{place}"
        f"<br>{row['k']:,} of {row['n']:,}, "
        f"95 % {percent(row['low'])} to {percent(row['high'])}"
    )


def _mark(figure: go.Figure, rows: list[Row], chosen: int) -> None:
    figure.add_vline(x=log_position(chosen), line={"color": NEUTRAL, "width": 2})
    figure.add_scatter(
        x=[log_position(chosen)] * len(rows),
        y=[row["rate"] for row in rows],
        mode="markers",
        marker={
            "symbol": "circle-open",
            "size": 19,
            "color": [SERIES_COLOURS[row["series"]] for row in rows],
            "line": {"width": 3},
        },
        hoverinfo="skip",
        showlegend=False,
        name="chosen size",
    )


def size_axis(figure: go.Figure, largest: int, n_units: int) -> None:
    """Give a figure of rates over sizes its axes.

    Args:
        figure: Its points stand at `log_position`.
        largest: The largest size shown.
        n_units: Units of the model.
    """
    figure.add_vline(x=BREAK_POSITION, line={"color": NEUTRAL, "width": 1, "dash": "dot"})
    powers = [4**power for power in range(8) if 4**power <= max(largest, 1)]
    figure.update_xaxes(
        type="log",
        title="Units knocked out, and their share of the model (log scale)",
        tickvals=[INTACT_POSITION, *powers],
        ticktext=["0<br>intact"] + [f"{size:,}<br>{sparsity(size / n_units)}" for size in powers],
        range=[np.log10(INTACT_POSITION * 0.8), np.log10(max(largest, 2) * 1.25)],
    )
    figure.update_yaxes(
        title=PROMPT_SHARE,
        range=[-0.04, 1.04],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        tickformat=".0%",
    )


def budget_grid(
    frame: pd.DataFrame, *, series: str = "asr", chosen: tuple[int, int] | None = None
) -> go.Figure:
    """One cell per evaluated pair of budgets, coloured by the rate of a series.

    Args:
        frame: Columns `TRADEOFF_COLUMNS` of `circuitviz.plots.frame`, separate budgets.
        series: `asr`, `utility` or `recovery`.
        chosen: The (heads, neurons) in use: framed and marked.
    """
    rows = records(matching(frame, series=series))
    heads = sorted({int(row["heads"]) for row in rows})
    neurons = sorted({int(row["neurons"]) for row in rows})
    rates = np.full((len(heads), len(neurons)), np.nan)
    centres, data, hover = [], [], []
    for row in rows:
        pair = (int(row["heads"]), int(row["neurons"]))
        centres.append((heads.index(pair[0]), neurons.index(pair[1])))
        rates[centres[-1]] = row["rate"]
        data.append(list(pair))
        hover.append(
            f"<b>{SERIES_LABELS[series]} {percent(row['rate'])}</b>"
            f"<br>{pair[0]} heads and {pair[1]} neurons off"
            f"<br>{row['k']:,} of {row['n']:,}"
        )
    figure = go.Figure()
    figure.add_heatmap(
        z=rates,
        zmin=0,
        zmax=1,
        colorscale=SEQUENTIAL,
        xgap=2,
        ygap=2,
        hoverinfo="skip",
        colorbar={"tickformat": ".0%", "thickness": 10, "outlinewidth": 0},
    )
    if chosen and chosen[0] in heads and chosen[1] in neurons:
        cell = (heads.index(chosen[0]), neurons.index(chosen[1]))
        add_outlines(figure, [cell], "Chosen")
        add_symbols(figure, [cell], "Chosen", "diamond")
    add_click_targets(figure, centres, data, hover)
    figure.update_xaxes(
        title="Best neurons off",
        tickvals=list(range(len(neurons))),
        ticktext=[str(value) for value in neurons],
        showgrid=False,
    )
    figure.update_yaxes(
        title="Best heads off",
        tickvals=list(range(len(heads))),
        ticktext=[str(value) for value in heads],
        showgrid=False,
    )
    return finish(figure, height=rows_height(len(heads), ROW_PIXELS) + LEGEND_PIXELS, legend=True)


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
            hover=[_stochastic_hover(label, row) for row in rows],
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
    return finish(figure, height=STOCHASTIC_PIXELS, legend=True)


def _stochastic_hover(label: str, row: Row) -> str:
    return (
        f"<b>{label} {percent(row['rate'])}</b><br>{percent(row['share'], 0)} of the rest ablated"
        f"<br>{row['k']:,} of {row['n']:,}, 95 % {percent(row['low'])} to {percent(row['high'])}"
    )


def overlay_curve(
    frame: pd.DataFrame, *, order: Sequence[str], series: str, n_units: int
) -> go.Figure:
    """One line per run; each has a colour, a symbol and a dash of its own.

    Args:
        frame: Columns of `overlay_frame` (`circuitviz.plots.comparison_frame`); rates in [0, 1].
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
            hover=[_overlay_hover(row, series) for row in rows],
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


def _overlay_hover(row: Row, series: str) -> str:
    size = int(row["size"])
    place = "intact model" if size == 0 else f"{size:,} units off ({sparsity(row['sparsity'])})"
    return (
        f"<b>{row['run']}</b><br>{SERIES_LABELS[series]} {percent(row['rate'])}<br>{place}"
        f"<br>{row['k']:,} of {row['n']:,}, 95 % {percent(row['low'])} to {percent(row['high'])}"
    )
