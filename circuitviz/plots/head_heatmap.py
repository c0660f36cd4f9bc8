"""Layer x head: how responsible each attention head is."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import plotly.graph_objects as go

from circuitviz.plots.layer_map import Fit, head_axis, layer_axis
from circuitviz.plots.outline import Cell, add_click_targets, add_outlines, add_ring, add_symbols
from circuitviz.plots.palette import SEQUENTIAL, TALLEST_MAP, finish, rows_height

__all__ = ["head_heatmap"]

ROW_PIXELS = 46
LEGEND_PIXELS = 96


def head_heatmap(
    scores: np.ndarray,
    in_circuit: Collection[Cell] = (),
    *,
    added: Collection[Cell] = (),
    removed: Collection[Cell] = (),
    selected: Cell | None = None,
    score_range: tuple[float, float] | None = None,
    row_pixels: int = ROW_PIXELS,
    tallest: int = TALLEST_MAP,
) -> go.Figure:
    """Scores of all heads, those in the circuit framed and marked with a diamond.

    Args:
        scores: [n_layers, n_heads].
        in_circuit: (layer, head) of the heads that are knocked out.
        added: Of those, the ones put in by hand: marked with a plus.
        removed: Heads taken out by hand: marked with a cross.
        selected: The head a panel shows: ringed.
        score_range: Ends of the colour scale; by default those of `scores`.
        row_pixels: Height of a row, where there are few.
        tallest: Height of all rows, where there are many.
    """
    layers, heads = scores.shape
    height = rows_height(layers, row_pixels, tallest)
    fit = Fit(layers, heads, height)
    low, high = score_range or (float(scores.min()), float(scores.max()))
    figure = go.Figure()
    figure.add_heatmap(
        z=scores,
        zmin=low,
        zmax=high,
        colorscale=SEQUENTIAL,
        xgap=fit.gap,
        ygap=fit.gap,
        hoverinfo="skip",
        colorbar={
            "title": {"text": "Score", "side": "right"},
            "thickness": 10,
            "outlinewidth": 0,
            "nticks": 5,
        },
    )
    cells = [(layer, head) for layer in range(layers) for head in range(heads)]
    inside, by_hand = set(in_circuit), set(added)
    by_learning = [cell for cell in in_circuit if cell not in by_hand]
    add_outlines(figure, in_circuit, "In the circuit", width=fit.line)
    add_symbols(figure, by_learning, "In the circuit", "diamond", size=fit.mark)
    add_symbols(figure, added, "Added by hand", "cross", size=fit.mark)
    add_symbols(figure, removed, "Removed by hand", "x", size=fit.mark)
    if selected is not None:
        add_ring(figure, selected, "Selected")
    add_click_targets(
        figure,
        cells,
        [[layer, head] for layer, head in cells],
        [_hover(scores, cell, inside) for cell in cells],
    )
    head_axis(figure, heads)
    layer_axis(figure, layers)
    return finish(figure, height=height + LEGEND_PIXELS, legend=True)


def _hover(scores: np.ndarray, cell: Cell, in_circuit: Collection[Cell]) -> str:
    layer, head = cell
    place = "in the circuit" if cell in in_circuit else "not in the circuit"
    return f"<b>Head L{layer}H{head}</b><br>score {scores[cell]:.3f}<br>{place}"
