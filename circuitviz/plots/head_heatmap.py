"""Layer x head: how responsible each attention head is."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import plotly.graph_objects as go

from circuitviz.plots.outline import Cell, add_click_targets, add_outlines, add_ring, add_symbols
from circuitviz.plots.palette import SEQUENTIAL, finish, rows_height

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
    """
    layers, heads = scores.shape
    low, high = score_range or (float(scores.min()), float(scores.max()))
    figure = go.Figure()
    figure.add_heatmap(
        z=scores,
        zmin=low,
        zmax=high,
        colorscale=SEQUENTIAL,
        xgap=2,
        ygap=2,
        hoverinfo="skip",
        colorbar={
            "title": {"text": "Score", "side": "right"},
            "thickness": 10,
            "outlinewidth": 0,
            "nticks": 5,
        },
    )
    cells = [(layer, head) for layer in range(layers) for head in range(heads)]
    by_learning = [cell for cell in in_circuit if cell not in added]
    add_outlines(figure, in_circuit, "In the circuit")
    add_symbols(figure, by_learning, "In the circuit", "diamond")
    add_symbols(figure, added, "Added by hand", "cross")
    add_symbols(figure, removed, "Removed by hand", "x")
    if selected is not None:
        add_ring(figure, selected, "Selected")
    add_click_targets(
        figure,
        cells,
        [[layer, head] for layer, head in cells],
        [_hover(scores, cell, in_circuit) for cell in cells],
    )
    figure.update_xaxes(
        title="Head", range=[-0.5, heads - 0.5], dtick=max(1, heads // 16), showgrid=False
    )
    figure.update_yaxes(
        title="Layer", range=[layers - 0.5, -0.5], dtick=max(1, layers // 16), showgrid=False
    )
    return finish(figure, height=rows_height(layers, row_pixels) + LEGEND_PIXELS, legend=True)


def _hover(scores: np.ndarray, cell: Cell, in_circuit: Collection[Cell]) -> str:
    layer, head = cell
    place = "in the circuit" if cell in in_circuit else "not in the circuit"
    return f"<b>Head L{layer}H{head}</b><br>score {scores[cell]:.3f}<br>{place}"
