"""How far runs agree: pairs of circuits, ranks of heads, units by layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.maps import HIGH_ROW, Cell, Fit, add_outlines, add_symbols, colour_map
from circuitviz.plots.palette import (
    DIVERGING,
    HALO,
    INK,
    RUN_STYLES,
    finish,
    hatching,
    tick_step,
)
from circuitviz.tables.rows import matching, records

PAIR_PIXELS, BARS_PIXELS = 54, 300
BRIGHT = 0.6  # from here on the scale is light, and black text is read


def head_rank_difference(
    first: np.ndarray,
    second: np.ndarray,
    names: tuple[str, str],
    in_first: Collection[Cell] = (),
    in_second: Collection[Cell] = (),
) -> go.Figure:
    """By how many places each head ranks higher in one run than in the other.

    Args:
        first: [n_layers, n_heads], the place of each head among the heads, 1 is best.
        second: The same of the other run.
        names: Labels of the two runs.
        in_first: (layer, head) of the heads in the first circuit.
        in_second: (layer, head) of the heads in the second circuit.
    """
    difference = second - first
    largest = max(1, int(np.abs(difference).max()))
    fit = Fit(first.shape)
    hover = [
        [
            f"<b>Head L{layer}H{head}</b><br>place {first[layer, head]} in {names[0]}"
            f"<br>place {second[layer, head]} in {names[1]}"
            for head in range(fit.columns)
        ]
        for layer in range(fit.layers)
    ]
    figure = colour_map(
        difference,
        (-largest, largest),
        gaps=(fit.gap, fit.gap),
        hover=hover,
        colours=DIVERGING,
        title="Places higher",
    )
    both = [cell for cell in in_first if cell in in_second]
    only = [cell for cell in in_first if cell not in in_second]
    other = [cell for cell in in_second if cell not in in_first]
    add_outlines(figure, [*both, *only, *other], "In a circuit", width=fit.line)
    add_symbols(figure, both, "In both circuits", "diamond", size=fit.mark)
    add_symbols(figure, only, f"Only in {names[0]}", "triangle-left", size=fit.mark)
    add_symbols(figure, other, f"Only in {names[1]}", "triangle-right", size=fit.mark)
    fit.head_axis(figure)
    return fit.finished(figure)


def head_membership(counts: np.ndarray, runs: int) -> go.Figure:
    """In how many of the runs each head is in the circuit, the number in each cell that has one.

    Args:
        counts: [n_layers, n_heads], 0 to `runs`.
        runs: How many runs are compared.
    """
    fit = Fit(counts.shape)
    hover = [
        [
            f"<b>L{layer}H{head}</b><br>in {number} of {runs} circuits"
            for head, number in enumerate(row)
        ]
        for layer, row in enumerate(counts)
    ]
    ticks = list(range(runs + 1))
    gaps = (fit.gap, fit.gap)
    figure = colour_map(counts, (0, runs), gaps=gaps, hover=hover, title="Runs", tickvals=ticks)
    texts = {cell: f"<b>{number}</b>" for cell, number in np.ndenumerate(counts) if number}
    everywhere = [cell for cell in texts if counts[cell] == runs]
    add_outlines(figure, everywhere, "In all circuits", width=fit.line)
    dark = {cell for cell in texts if counts[cell] <= runs / 2}
    size = 14 if fit.row >= HIGH_ROW else 10
    _add_numbers(figure, texts, dark, size, name="runs", showlegend=False)
    fit.head_axis(figure)
    return fit.finished(figure)


def overlap_heatmap(
    names: Sequence[str], overlap: np.ndarray, hover: Sequence[Sequence[str]]
) -> go.Figure:
    """Jaccard similarity of every pair, written into its cell.

    Args:
        names: [runs].
        overlap: [runs, runs] in [0, 1].
        hover: [runs][runs] text of each cell; says what chance would give.
    """
    figure = colour_map(overlap, (0, 1), hover=hover, title="Jaccard")
    texts = {cell: f"{value:.2f}" for cell, value in np.ndenumerate(overlap)}
    dark = {cell for cell in texts if overlap[cell] < BRIGHT}
    _add_numbers(figure, texts, dark, 14, name="values")
    ticks = {"tickvals": list(range(len(names))), "ticktext": list(names)}
    figure.update_xaxes(**ticks, showgrid=False)
    figure.update_yaxes(**ticks, range=[len(names) - 0.5, -0.5], showgrid=False)
    return finish(figure, height=len(names) * PAIR_PIXELS + 90)


def _add_numbers(
    figure: go.Figure, texts: Mapping[Cell, str], dark: Collection[Cell], size: int, **trace: Any
) -> None:
    """A text in each cell, white on those that are dark."""
    figure.add_scatter(
        x=[column for _, column in texts],
        y=[row for row, _ in texts],
        mode="text",
        text=list(texts.values()),
        textfont={"size": size, "color": [HALO if cell in dark else INK for cell in texts]},
        hoverinfo="skip",
        **trace,
    )


def layer_bars(frame: pd.DataFrame) -> go.Figure:
    """How many neurons of each layer are in each circuit; bars differ in hatching too.

    Args:
        frame: Columns run, layer, neurons; the order of the runs decides their style.
    """
    figure = go.Figure()
    for index, label in enumerate(dict.fromkeys(frame["run"])):
        style = RUN_STYLES[index % len(RUN_STYLES)]
        rows = records(matching(frame, run=label))
        figure.add_bar(
            x=[row["layer"] for row in rows],
            y=[row["neurons"] for row in rows],
            marker={"color": style.colour, "pattern": hatching(style.pattern)},
            hovertemplate="layer %{x}: %{y} neurons<extra>" + str(label) + "</extra>",
            name=str(label),
        )
    layers = sorted(set(frame["layer"]))
    figure.update_xaxes(
        title="Layer", dtick=tick_step(len(layers)), tick0=0, tickangle=0, showgrid=False
    )
    most = max(frame["neurons"], default=0)
    dtick = 1 if most <= 8 else None
    figure.update_yaxes(title="Neurons in the circuit", range=[0, max(1, most) * 1.08], dtick=dtick)
    figure.update_layout(barmode="group", bargap=0.25)
    return finish(figure, height=BARS_PIXELS, legend=True)
