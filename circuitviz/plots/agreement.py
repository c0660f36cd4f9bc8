"""How far runs agree: pairs of circuits, ranks of heads, units by layer."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.maps import Cell, Fit, add_outlines, add_symbols, head_axis, layer_axis
from circuitviz.plots.palette import (
    DIVERGING,
    RUN_STYLES,
    SEQUENTIAL,
    finish,
    hatching,
    rows_height,
    tick_step,
)
from circuitviz.plots.text import matching, records

PAIR_PIXELS = 54
BRIGHT = 0.6  # from here on the scale is light, and black text is read

ROW_PIXELS = 46
LEGEND_PIXELS = 96
BARS_PIXELS = 300


def overlap_heatmap(
    names: Sequence[str], overlap: np.ndarray, hover: Sequence[Sequence[str]]
) -> go.Figure:
    """Jaccard similarity of every pair, written into its cell.

    Args:
        names: [runs].
        overlap: [runs, runs] in [0, 1].
        hover: [runs][runs] text of each cell; says what chance would give.
    """
    figure = go.Figure()
    figure.add_heatmap(
        z=overlap,
        zmin=0,
        zmax=1,
        colorscale=SEQUENTIAL,
        xgap=2,
        ygap=2,
        hovertext=[list(row) for row in hover],
        hovertemplate="%{hovertext}<extra></extra>",
        colorbar={"title": {"text": "Jaccard", "side": "right"}, "thickness": 10},
    )
    places = range(len(names))
    figure.add_scatter(
        x=[column for _ in places for column in places],
        y=[row for row in places for _ in places],
        mode="text",
        text=[f"{overlap[row, column]:.2f}" for row in places for column in places],
        textfont={
            "size": 14,
            "color": [
                "#000000" if overlap[row, column] >= BRIGHT else "#FFFFFF"
                for row in places
                for column in places
            ],
        },
        hoverinfo="skip",
        name="values",
    )
    figure.update_xaxes(tickvals=list(places), ticktext=list(names), showgrid=False)
    figure.update_yaxes(
        tickvals=list(places),
        ticktext=list(names),
        range=[len(names) - 0.5, -0.5],
        showgrid=False,
    )
    return finish(figure, height=len(names) * PAIR_PIXELS + 90)


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
    fit = _fit(first.shape)
    figure = go.Figure()
    figure.add_heatmap(
        z=difference,
        zmin=-largest,
        zmax=largest,
        colorscale=[list(stop) for stop in DIVERGING],
        xgap=fit.gap,
        ygap=fit.gap,
        hovertext=[
            [_rank_hover((layer, head), first, second, names) for head in range(first.shape[1])]
            for layer in range(first.shape[0])
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        colorbar={"title": {"text": "Places higher", "side": "right"}, "thickness": 10},
    )
    both = [cell for cell in in_first if cell in in_second]
    only = [cell for cell in in_first if cell not in in_second]
    other = [cell for cell in in_second if cell not in in_first]
    add_outlines(figure, [*both, *only, *other], "In a circuit", width=fit.line)
    add_symbols(figure, both, "In both circuits", "diamond", size=fit.mark)
    add_symbols(figure, only, f"Only in {names[0]}", "triangle-left", size=fit.mark)
    add_symbols(figure, other, f"Only in {names[1]}", "triangle-right", size=fit.mark)
    return _finished(figure, first.shape)


def head_membership(counts: np.ndarray, runs: int) -> go.Figure:
    """In how many of the runs each head is in the circuit, the number in each cell that has one.

    Args:
        counts: [n_layers, n_heads], 0 to `runs`.
        runs: How many runs are compared.
    """
    figure = go.Figure()
    layers, heads = counts.shape
    fit = _fit(counts.shape)
    figure.add_heatmap(
        z=counts,
        zmin=0,
        zmax=runs,
        colorscale=SEQUENTIAL,
        xgap=fit.gap,
        ygap=fit.gap,
        hovertext=[
            [
                f"<b>L{layer}H{head}</b><br>in {counts[layer, head]} of {runs} circuits"
                for head in range(heads)
            ]
            for layer in range(layers)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        colorbar={
            "title": {"text": "Runs", "side": "right"},
            "thickness": 10,
            "tickvals": list(range(runs + 1)),
        },
    )
    cells = [(int(layer), int(head)) for layer, head in np.argwhere(counts > 0)]
    everywhere = [cell for cell in cells if counts[cell] == runs]
    add_outlines(figure, everywhere, "In all circuits", width=fit.line)
    figure.add_scatter(
        x=[head for _, head in cells],
        y=[layer for layer, _ in cells],
        mode="text",
        text=[f"<b>{counts[cell]}</b>" for cell in cells],
        textfont={
            "size": 14 if fit.row >= 16 else 10,
            "color": ["#000000" if counts[cell] > runs / 2 else "#FFFFFF" for cell in cells],
        },
        hoverinfo="skip",
        name="runs",
        showlegend=False,
    )
    return _finished(figure, counts.shape)


def _rank_hover(cell: Cell, first: np.ndarray, second: np.ndarray, names: tuple[str, str]) -> str:
    layer, head = cell
    return (
        f"<b>Head L{layer}H{head}</b><br>place {first[cell]} in {names[0]}"
        f"<br>place {second[cell]} in {names[1]}"
    )


def _fit(shape: tuple[int, ...]) -> Fit:
    return Fit(shape[0], shape[1], rows_height(shape[0], ROW_PIXELS))


def _finished(figure: go.Figure, shape: tuple[int, ...]) -> go.Figure:
    layers, heads = shape
    head_axis(figure, heads)
    layer_axis(figure, layers)
    return finish(figure, height=rows_height(layers, ROW_PIXELS) + LEGEND_PIXELS, legend=True)


def layer_bars(frame: pd.DataFrame) -> go.Figure:
    """How many neurons of each layer are in each circuit; bars differ in hatching too.

    Args:
        frame: Columns run, layer, neurons; the order of the runs decides their style.
    """
    figure = go.Figure()
    for place, label in enumerate(dict.fromkeys(frame["run"])):
        style = RUN_STYLES[place % len(RUN_STYLES)]
        rows = records(matching(frame, run=label))
        figure.add_bar(
            x=[row["layer"] for row in rows],
            y=[row["neurons"] for row in rows],
            marker={
                "color": style.colour,
                "pattern": hatching(style.pattern),
            },
            hovertemplate="layer %{x}: %{y} neurons<extra>" + str(label) + "</extra>",
            name=str(label),
        )
    layers = sorted(set(frame["layer"]))
    figure.update_xaxes(
        title="Layer", dtick=tick_step(len(layers)), tick0=0, tickangle=0, showgrid=False
    )
    most = max(frame["neurons"], default=0)
    figure.update_yaxes(title="Neurons in the circuit", range=[0, max(1, most) * 1.08])
    if most <= 8:
        figure.update_yaxes(dtick=1)
    figure.update_layout(barmode="group", bargap=0.25)
    return finish(figure, height=BARS_PIXELS, legend=True)
