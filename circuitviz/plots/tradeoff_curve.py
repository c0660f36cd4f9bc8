"""ASR, utility and recovery against the size of the circuit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from circuitviz.evaluation.rate import Rate
from circuitviz.plots.judged import PROMPT_SHARE, share_axis
from circuitviz.plots.palette import (
    NEUTRAL,
    SERIES_COLOURS,
    SERIES_DASHES,
    SERIES_LABELS,
    SERIES_SYMBOLS,
    finish,
)
from circuitviz.plots.ribbon import add_band, add_line
from circuitviz.plots.rows import Row, matching, records
from circuitviz.plots.text import percent, sparsity

__all__ = ["log_position", "size_axis", "tradeoff_curve"]

CURVE_PIXELS = 430
# Where size 0, the intact model, stands on an axis that has no zero.
INTACT_POSITION = 0.4
BREAK_POSITION = 0.63


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
