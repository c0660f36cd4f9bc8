"""Maps of a model's heads and neurons, and the marks on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from circuitviz.plots.palette import (
    ASR,
    HALO,
    INK,
    NEUTRAL,
    SEQUENTIAL,
    TALLEST_MAP,
    UTILITY,
    finish,
    rows_height,
    tick_step,
)

# (layer, column): the row and the column of a cell.
Cell = tuple[int, int]

# Small enough that the nearest centre decides which cell a click belongs to.
TARGET_SIZE = 6

# Cells of a map; each has a text of its own, so that more would make a figure of megabytes.
MOST_CELLS = 4096
FEWEST_BINS = 16
# From so many columns on, gaps of two pixels would take most of a cell on a narrow page.
MANY_COLUMNS = 24
LARGEST_MARK, SMALLEST_MARK = 11, 8
# In rows lower than this a frame is hardly seen, and the symbol is larger than its cell.
FRAMED_ROW = 10
ROW_PIXELS = 46
LEGEND_PIXELS = 96
# Many marks side by side would hide one another.
CROWDED, CROWDED_MARK = 24, 7
STRIP_PIXELS = 300
# More points than this are slow to draw, and lie on top of each other.
MOST_POINTS = 4096


@dataclass(frozen=True)
class MapOptions:
    """What differs between two drawings of one map.

    Attributes:
        added: (layer, index) of units of the circuit that were put in by hand: marked with a plus.
        removed: Units taken out by hand: marked with a cross.
        selected: The unit a panel shows: ringed.
        score_range: Ends of the colour scale; by default those of the scores.
        row_pixels: Height of a row, where there are few.
        tallest: Height of all rows, where there are many.
    """

    added: Collection[Cell] = ()
    removed: Collection[Cell] = ()
    selected: Cell | None = None
    score_range: tuple[float, float] | None = None
    row_pixels: int = ROW_PIXELS
    tallest: int = TALLEST_MAP


PLAIN = MapOptions()


def add_outlines(
    figure: go.Figure, cells: Iterable[Cell], name: str, *, width: float = 2.5
) -> None:
    """Draw a white-on-black frame around each cell; it keeps its fit when the figure is resized."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    inset = 0.44
    for layer, column in cells:
        xs += [column + side * inset for side in (-1, 1, 1, -1, -1)] + [None]
        ys += [layer + side * inset for side in (-1, -1, 1, 1, -1)] + [None]
    for colour, extra in ((INK, width), (HALO, 0.0)):
        figure.add_scatter(
            x=xs,
            y=ys,
            mode="lines",
            line={"color": colour, "width": width + extra},
            hoverinfo="skip",
            name=name,
            showlegend=False,
        )


def add_symbols(
    figure: go.Figure, cells: Iterable[Cell], name: str, symbol: str, *, size: int = 11
) -> None:
    """Put a white symbol with a black edge on each cell, and name it in the legend."""
    listed = list(cells)
    # The legend takes the first marker of the trace, so an empty trace gets none.
    if not listed:
        return
    figure.add_scatter(
        x=[column for _, column in listed],
        y=[layer for layer, _ in listed],
        mode="markers",
        marker={
            "symbol": symbol,
            "size": size,
            "color": HALO,
            "line": {"color": INK, "width": 1.5},
        },
        hoverinfo="skip",
        name=name,
    )


def add_ring(figure: go.Figure, cell: Cell, name: str, *, size: int = 30) -> None:
    """Draw a white-on-black ring around the centre of a cell."""
    for colour, width in ((INK, 6), (HALO, 2.5)):
        figure.add_scatter(
            x=[cell[1]],
            y=[cell[0]],
            mode="markers",
            marker={
                "symbol": "circle-open",
                "size": size,
                "color": colour,
                "line": {"color": colour, "width": width},
            },
            hoverinfo="skip",
            showlegend=False,
            name=name,
        )


def add_click_targets(
    figure: go.Figure,
    centres: list[Cell],
    customdata: list[list[int]],
    hover: list[str],
) -> None:
    """Lay an invisible point on each cell: Streamlit reports no clicks on heatmaps.

    With an unlimited hover distance the nearest point wins, which is the cell under the
    pointer, corners included, at any size of the figure.  A point is found whether it is drawn or
    not, so one is drawn: thousands of invisible ones would take a browser seconds.
    """
    invisible = {"marker": {"opacity": 0}}
    figure.add_scatter(
        x=[column for _, column in centres],
        y=[layer for layer, _ in centres],
        mode="markers",
        marker={"symbol": "square", "size": TARGET_SIZE, "opacity": 0, "maxdisplayed": 1},
        selected=invisible,
        unselected=invisible,
        customdata=customdata,
        hovertext=hover,
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
        name="cells",
    )
    figure.update_layout(hovermode="closest", hoverdistance=-1, clickmode="event+select")


class Fit:
    """What fits into the cells of a map.

    Args:
        rows: Layers.
        columns: Cells a layer.
        height: Pixels of all rows.
    """

    def __init__(self, rows: int, columns: int, height: int) -> None:
        self.row = height / rows
        self.columns = columns

    @property
    def gap(self) -> int:
        """Pixels between rows, and between few columns."""
        return 2 if self.row >= 16 and self.columns <= MANY_COLUMNS else 1

    @property
    def mark(self) -> int:
        """Pixels of a symbol: it stays in its row where rows are high enough for that."""
        if self.row < FRAMED_ROW:
            return LARGEST_MARK
        return int(min(LARGEST_MARK, max(SMALLEST_MARK, self.row - 2)))

    @property
    def line(self) -> float:
        """Pixels of the inner line of a frame."""
        if self.row < FRAMED_ROW:
            return 1
        return 2.5 if self.row >= 16 else 1.5


def bins_for(layers: int, most: int) -> int:
    """How many bins a layer has, so that a map of all of them stays small.

    Args:
        layers: Layers of the model.
        most: Most bins a layer may have, where there are few layers.
    """
    return max(min(FEWEST_BINS, most), min(most, MOST_CELLS // layers))


def layer_axis(figure: go.Figure, layers: int) -> None:
    """Layers from the top to the bottom, with as many ticks as can be read."""
    figure.update_yaxes(
        title="Layer", range=[layers - 0.5, -0.5], dtick=tick_step(layers), tick0=0, showgrid=False
    )


def head_axis(figure: go.Figure, heads: int) -> None:
    """Heads from left to right, with as many ticks as can be read on a narrow page."""
    figure.update_xaxes(
        title="Head",
        range=[-0.5, heads - 0.5],
        dtick=tick_step(heads),
        tick0=0,
        tickangle=0,
        showgrid=False,
    )


def head_heatmap(
    scores: np.ndarray,
    in_circuit: Collection[Cell] = (),
    options: MapOptions = PLAIN,
) -> go.Figure:
    """Scores of all heads, those in the circuit framed and marked with a diamond.

    Args:
        scores: [n_layers, n_heads].
        in_circuit: (layer, head) of the heads that are knocked out.
        options: Marks, colour scale and room.
    """
    layers, heads = scores.shape
    height = rows_height(layers, options.row_pixels, options.tallest)
    fit = Fit(layers, heads, height)
    figure = _score_map(scores, options.score_range, xgap=fit.gap, ygap=fit.gap)
    cells = [(layer, head) for layer in range(layers) for head in range(heads)]
    inside, by_hand = set(in_circuit), set(options.added)
    by_learning = [cell for cell in in_circuit if cell not in by_hand]
    add_outlines(figure, in_circuit, "In the circuit", width=fit.line)
    add_symbols(figure, by_learning, "In the circuit", "diamond", size=fit.mark)
    add_symbols(figure, options.added, "Added by hand", "cross", size=fit.mark)
    add_symbols(figure, options.removed, "Removed by hand", "x", size=fit.mark)
    if options.selected is not None:
        add_ring(figure, options.selected, "Selected")
    add_click_targets(
        figure,
        cells,
        [[layer, head] for layer, head in cells],
        [_head_hover(scores, cell, inside) for cell in cells],
    )
    head_axis(figure, heads)
    layer_axis(figure, layers)
    return finish(figure, height=height + LEGEND_PIXELS, legend=True)


def _score_map(
    scores: np.ndarray, score_range: tuple[float, float] | None, **gaps: float
) -> go.Figure:
    """Scores [n_layers columns] in colours from the lowest to the highest, with their scale."""
    low, high = score_range or (float(scores.min()), float(scores.max()))
    figure = go.Figure()
    figure.add_heatmap(
        z=scores,
        zmin=low,
        zmax=high,
        colorscale=SEQUENTIAL,
        hoverinfo="skip",
        colorbar={
            "title": {"text": "Score", "side": "right"},
            "thickness": 10,
            "outlinewidth": 0,
            "nticks": 5,
        },
        **gaps,
    )
    return figure


def _head_hover(scores: np.ndarray, cell: Cell, in_circuit: Collection[Cell]) -> str:
    layer, head = cell
    place = "in the circuit" if cell in in_circuit else "not in the circuit"
    return f"<b>Head L{layer}H{head}</b><br>score {scores[cell]:.3f}<br>{place}"


def neuron_heatmap(
    best_score: np.ndarray,
    best_neuron: np.ndarray | None = None,
    width: int | None = None,
    in_circuit: Collection[Cell] = (),
    options: MapOptions = PLAIN,
) -> go.Figure:
    """The best score in each bin of neighbouring neurons; bins with circuit neurons are marked.

    Args:
        best_score: [n_layers, bins], as `bin_neurons` gives it.
        best_neuron: [n_layers, bins], the neuron that has it; None where nobody knows, and the
            axis counts bins.
        width: Neurons in a layer (d_mlp); None with `best_neuron`.
        in_circuit: (layer, neuron) of the neurons that are knocked out.
        options: Marks, which go to the bins of their neurons, colour scale and room.
    """
    layers, bins = best_score.shape
    height = rows_height(layers, options.row_pixels, options.tallest)
    fit = Fit(layers, bins, height)
    edges = np.linspace(0, width or bins, bins + 1).round().astype(int)
    inside = np.zeros((layers, bins), dtype=int)
    for layer, neuron in in_circuit:
        inside[layer, _bin_of(neuron, edges)] += 1
    figure = _score_map(best_score, options.score_range, ygap=fit.gap)
    cells = [(layer, column) for layer in range(layers) for column in range(bins)]
    added, removed = (
        [(layer, _bin_of(neuron, edges)) for layer, neuron in units]
        for units in (options.added, options.removed)
    )
    marked = [cell for cell in cells if inside[cell] and cell not in {*added, *removed}]
    size = min(fit.mark, 10) if len(marked) <= CROWDED else CROWDED_MARK
    add_symbols(figure, marked, "Holds circuit neurons", "diamond", size=size)
    add_symbols(figure, added, "Added by hand", "cross", size=fit.mark)
    add_symbols(figure, removed, "Removed by hand", "x", size=fit.mark)
    if options.selected is not None:
        layer, neuron = options.selected
        add_ring(figure, (layer, _bin_of(neuron, edges)), "Selected", size=24)
    add_click_targets(
        figure,
        cells,
        [] if best_neuron is None else [[cell[0], int(best_neuron[cell])] for cell in cells],
        [_bin_hover(cell, best_score, best_neuron, edges, inside) for cell in cells],
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


def _bin_hover(
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


def thinned(neurons: int) -> bool:
    """Whether a layer has too many neurons to draw every one."""
    return neurons > MOST_POINTS


def neuron_strip(
    scores: np.ndarray,
    layer: int,
    in_circuit: Collection[int] = (),
    *,
    selected: int | None = None,
) -> go.Figure:
    """The score of every neuron of a layer; those in the circuit are framed diamonds.

    Of a very wide layer: the circuit's neurons, the best half of `MOST_POINTS`, and of the rest,
    which make up a crowd, every few.

    Args:
        scores: [d_mlp].
        layer: The layer they are of.
        in_circuit: Indices of the neurons that are knocked out.
        selected: The neuron a panel shows.
    """
    inside = np.isin(np.arange(len(scores)), list(in_circuit))
    drawn = inside | _kept(scores)
    figure = go.Figure()
    groups = (
        (
            "Not in the circuit",
            ~inside & drawn,
            {"symbol": "circle", "size": 5, "color": UTILITY},
        ),
        (
            "In the circuit",
            inside,
            {"symbol": "diamond", "size": 12, "color": ASR, "line": {"color": INK, "width": 1.5}},
        ),
    )
    for name, mask, marker in groups:
        index = np.flatnonzero(mask)
        figure.add_scatter(
            x=index,
            y=scores[mask],
            mode="markers",
            marker=marker,
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
            customdata=[[layer, int(neuron)] for neuron in index],
            hovertemplate=f"<b>L{layer}N%{{x}}</b><br>score %{{y:.3f}}<extra>{name}</extra>",
            name=name,
        )
    if selected is not None:
        figure.add_scatter(
            x=[selected],
            y=[scores[selected]],
            mode="markers",
            marker={
                "symbol": "circle-open",
                "size": 20,
                "color": NEUTRAL,
                "line": {"width": 2.5, "color": NEUTRAL},
            },
            hoverinfo="skip",
            name="Selected",
        )
    figure.update_xaxes(title=f"Neuron of layer {layer}", tickformat=",d", showgrid=False)
    figure.update_yaxes(title="Score")
    figure.update_layout(hovermode="closest", hoverdistance=-1, clickmode="event+select")
    return finish(figure, height=STRIP_PIXELS, legend=True)


def _kept(scores: np.ndarray) -> np.ndarray:
    """Which neurons [d_mlp] are drawn whether they are in the circuit or not."""
    if not thinned(len(scores)):
        return np.ones(len(scores), dtype=bool)
    kept = np.zeros(len(scores), dtype=bool)
    kept[np.argsort(-scores, kind="stable")[: MOST_POINTS // 2]] = True
    kept[:: -(-2 * len(scores) // MOST_POINTS)] = True
    return kept
