"""Layer x bins of neurons: where the responsible neurons are."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import plotly.graph_objects as go

from circuitviz.plots.layer_map import Fit, layer_axis
from circuitviz.plots.outline import Cell, add_click_targets, add_ring, add_symbols
from circuitviz.plots.palette import SEQUENTIAL, TALLEST_MAP, finish, rows_height

__all__ = ["neuron_heatmap"]

ROW_PIXELS = 46
LEGEND_PIXELS = 96
# Many marks side by side would hide one another.
CROWDED, CROWDED_MARK = 24, 7


def neuron_heatmap(
    best_score: np.ndarray,
    best_neuron: np.ndarray | None = None,
    width: int | None = None,
    in_circuit: Collection[Cell] = (),
    *,
    added: Collection[Cell] = (),
    removed: Collection[Cell] = (),
    selected: Cell | None = None,
    score_range: tuple[float, float] | None = None,
    row_pixels: int = ROW_PIXELS,
    tallest: int = TALLEST_MAP,
) -> go.Figure:
    """The best score in each bin of neighbouring neurons; bins with circuit neurons are marked.

    Args:
        best_score: [n_layers, bins], as `bin_neurons` gives it.
        best_neuron: [n_layers, bins], the neuron that has it; None where nobody knows, and the
            axis counts bins.
        width: Neurons in a layer (d_mlp); None with `best_neuron`.
        in_circuit: (layer, neuron) of the neurons that are knocked out.
        added: Of those, the ones put in by hand: their bins are marked with a plus.
        removed: Neurons taken out by hand: their bins are marked with a cross.
        selected: The (layer, neuron) a panel shows: ringed.
        score_range: Ends of the colour scale; by default those of `best_score`.
        row_pixels: Height of a row, where there are few.
        tallest: Height of all rows, where there are many.
    """
    layers, bins = best_score.shape
    height = rows_height(layers, row_pixels, tallest)
    fit = Fit(layers, bins, height)
    edges = np.linspace(0, width or bins, bins + 1).round().astype(int)
    low, high = score_range or (float(best_score.min()), float(best_score.max()))
    inside = np.zeros((layers, bins), dtype=int)
    for layer, neuron in in_circuit:
        inside[layer, _bin_of(neuron, edges)] += 1
    figure = go.Figure()
    figure.add_heatmap(
        z=best_score,
        zmin=low,
        zmax=high,
        colorscale=SEQUENTIAL,
        ygap=fit.gap,
        hoverinfo="skip",
        colorbar={
            "title": {"text": "Score", "side": "right"},
            "thickness": 10,
            "outlinewidth": 0,
            "nticks": 5,
        },
    )
    cells = [(layer, column) for layer in range(layers) for column in range(bins)]
    edits = {
        "added": [(layer, _bin_of(neuron, edges)) for layer, neuron in added],
        "removed": [(layer, _bin_of(neuron, edges)) for layer, neuron in removed],
    }
    by_hand = {*edits["added"], *edits["removed"]}
    marked = [cell for cell in cells if inside[cell] and cell not in by_hand]
    size = min(fit.mark, 10) if len(marked) <= CROWDED else CROWDED_MARK
    add_symbols(figure, marked, "Holds circuit neurons", "diamond", size=size)
    add_symbols(figure, edits["added"], "Added by hand", "cross", size=fit.mark)
    add_symbols(figure, edits["removed"], "Removed by hand", "x", size=fit.mark)
    if selected is not None:
        chosen = (selected[0], _bin_of(selected[1], edges))
        add_ring(figure, chosen, "Selected", size=24)
    add_click_targets(
        figure,
        cells,
        [] if best_neuron is None else [[cell[0], int(best_neuron[cell])] for cell in cells],
        [_hover(cell, best_score, best_neuron, edges, inside) for cell in cells],
    )
    ticks = np.linspace(0, bins, 5)[:-1]
    figure.update_xaxes(
        title="Neuron" if best_neuron is not None else "Bin of neighbouring neurons",
        range=[-0.5, bins - 0.5],
        tickvals=ticks - 0.5,
        ticktext=[f"{int(edges[int(tick)]):,}" for tick in ticks],
        tickangle=0,
        showgrid=False,
    )
    layer_axis(figure, layers)
    return finish(figure, height=height + LEGEND_PIXELS, legend=True)


def _hover(
    cell: Cell,
    best_score: np.ndarray,
    best_neuron: np.ndarray | None,
    edges: np.ndarray,
    inside: np.ndarray,
) -> str:
    layer, column = cell
    if best_neuron is None:
        return f"<b>Layer {layer}, bin {column}</b><br>best score {best_score[cell]:.3f}"
    return (
        f"<b>Layer {layer}, neurons {edges[column]}\u2013{edges[column + 1] - 1}</b>"
        f"<br>best L{layer}N{best_neuron[cell]}, score {best_score[cell]:.3f}"
        f"<br>{inside[cell]} in the circuit"
    )


def _bin_of(neuron: int, edges: np.ndarray) -> int:
    return int(np.searchsorted(edges, neuron, side="right")) - 1
