"""Maps in colours: heads and neurons of a model, and the marks on them; pairs of budgets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from circuitviz.narrative.numbers import percent
from circuitviz.plots.palette import (
    ASR,
    HALO,
    INK,
    NEUTRAL,
    SEQUENTIAL,
    SERIES_LABELS,
    TALLEST_MAP,
    UTILITY,
    WRITTEN,
    clickable,
    finish,
    rows_height,
    tick_step,
)
from circuitviz.tables.rows import matching, records

# (layer, column): the row and the column of a cell.
Cell = tuple[int, int]

# Small enough that the nearest centre decides which cell a click belongs to.
TARGET_SIZE = 6

# Cells of a map; each has a text of its own, so that more would make a figure of megabytes.
MAX_CELLS = 4096
MIN_BINS = 16
# From so many columns on, gaps of two pixels would take most of a cell on a narrow page.
_MANY_COLUMNS = 24
MAX_MARK, MIN_MARK = 11, 8
# In rows lower than this a frame is hardly seen, and the symbol is larger than its cell.
FRAMED_ROW, HIGH_ROW = 10, 16
ROW_PIXELS, LEGEND_PIXELS = 46, 96
# Many marks side by side would hide one another.
CROWDED, CROWDED_MARK = 24, 7
STRIP_PIXELS = 300
# More points than this are slow to draw, and lie on top of each other.
MAX_POINTS = 4096
GRID_ROW, GRID_LEGEND = 40, 104


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


class Fit:
    """What fits into the cells of a map of layers.

    Args:
        shape: Layers, and cells a layer.
        options: Room for its rows.

    Attributes:
        height: Pixels of all rows.
        row: Pixels of one row.
        gap: Pixels between rows, and between few columns.
        mark: Pixels of a symbol: it stays in its row where rows are high enough for that.
        line: Pixels of the inner line of a frame.
    """

    def __init__(self, shape: tuple[int, ...], options: MapOptions = PLAIN) -> None:
        self.layers, self.columns = shape
        self.height = rows_height(self.layers, options.row_pixels, options.tallest)
        self.row = self.height / self.layers
        self.gap = 2 if self.row >= HIGH_ROW and self.columns <= _MANY_COLUMNS else 1
        if self.row < FRAMED_ROW:
            self.mark, self.line = MAX_MARK, 1
        else:
            self.mark = int(min(MAX_MARK, max(MIN_MARK, self.row - 2)))
            self.line = 2.5 if self.row >= HIGH_ROW else 1.5

    def head_axis(self, figure: go.Figure) -> None:
        """Heads from left to right, with as many ticks as can be read on a narrow page."""
        figure.update_xaxes(
            title="Head",
            range=[-0.5, self.columns - 0.5],
            dtick=tick_step(self.columns),
            tick0=0,
            tickangle=0,
            showgrid=False,
        )

    def finished(self, figure: go.Figure) -> go.Figure:
        """The figure with layers from the top to the bottom, as many ticks as can be read."""
        figure.update_yaxes(
            title="Layer",
            range=[self.layers - 0.5, -0.5],
            dtick=tick_step(self.layers),
            tick0=0,
            showgrid=False,
        )
        return finish(figure, height=self.height + LEGEND_PIXELS, legend=True)


def colour_map(
    values: np.ndarray,
    limits: tuple[float, float],
    *,
    gaps: tuple[int | None, int] = (2, 2),
    hover: Sequence[Sequence[str]] | None = None,
    colours: object = SEQUENTIAL,
    title: str = "",
    **scale: Any,
) -> go.Figure:
    """A figure of values [rows columns] in colours, with their scale.

    Args:
        values: One a cell; NaN leaves it empty.
        limits: Values at the ends of the scale.
        gaps: Pixels between columns and between rows.
        hover: What each cell says; None where something above it does.
        colours: Plotly's colour scale.
        title: What the scale measures.
        scale: More of Plotly's colour bar.
    """
    written = {"hoverinfo": "skip"} if hover is None else {"hovertemplate": WRITTEN}
    named = {"title": {"text": title, "side": "right"}} if title else {}
    return go.Figure().add_heatmap(
        z=values,
        zmin=limits[0],
        zmax=limits[1],
        colorscale=colours,
        xgap=gaps[0],
        ygap=gaps[1],
        hovertext=hover,
        colorbar={**named, "thickness": 10, **scale},
        **written,
    )


def add_outlines(
    figure: go.Figure, cells: Collection[Cell], name: str, *, width: float = 2.5
) -> None:
    """Draw a white-on-black frame around each cell; it keeps its fit when the figure is resized."""
    inset = 0.44
    xs: list[float | None] = []
    ys: list[float | None] = []
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
    figure: go.Figure, cells: Collection[Cell], name: str, symbol: str, *, size: int = 11
) -> None:
    """Put a white symbol with a black edge on each cell, and name it in the legend."""
    # The legend takes the first marker of the trace, so an empty trace gets none.
    if cells:
        edge = {"color": INK, "width": 1.5}
        figure.add_scatter(
            x=[column for _, column in cells],
            y=[layer for layer, _ in cells],
            mode="markers",
            marker={"symbol": symbol, "size": size, "color": HALO, "line": edge},
            hoverinfo="skip",
            name=name,
        )


def add_ring(figure: go.Figure, x: float, y: float, *, size: int = 30) -> None:
    """Draw a white-on-black ring around what is selected."""
    for colour, width in ((INK, 6), (HALO, 2.5)):
        line = {"color": colour, "width": width}
        figure.add_scatter(
            x=[x],
            y=[y],
            mode="markers",
            marker={"symbol": "circle-open", "size": size, "color": colour, "line": line},
            hoverinfo="skip",
            showlegend=False,
            name="Selected",
        )


def add_click_targets(
    figure: go.Figure,
    centres: Collection[Cell],
    customdata: Sequence[Sequence[int]],
    hover: Sequence[str],
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
        hovertemplate=WRITTEN,
        showlegend=False,
        name="cells",
    )
    clickable(figure)


def bins_for(layers: int, most: int) -> int:
    """How many bins a layer has, so that a map of all of them stays small.

    Args:
        layers: Layers of the model.
        most: Most bins a layer may have, where there are few layers.
    """
    return max(min(MIN_BINS, most), min(most, MAX_CELLS // layers))


def _score_map(scores: np.ndarray, options: MapOptions, gaps: tuple[int | None, int]) -> go.Figure:
    limits = options.score_range or (float(scores.min()), float(scores.max()))
    return colour_map(scores, limits, gaps=gaps, title="Score", outlinewidth=0, nticks=5)


def head_heatmap(
    scores: np.ndarray, in_circuit: Collection[Cell] = (), options: MapOptions = PLAIN
) -> go.Figure:
    """Scores of all heads, those in the circuit framed and marked with a diamond.

    Args:
        scores: [n_layers, n_heads].
        in_circuit: (layer, head) of the heads that are knocked out.
        options: Marks, colour scale and room.
    """
    fit = Fit(scores.shape, options)
    figure = _score_map(scores, options, (fit.gap, fit.gap))
    inside, by_hand = set(in_circuit), set(options.added)
    by_learning = [cell for cell in in_circuit if cell not in by_hand]
    add_outlines(figure, in_circuit, "In the circuit", width=fit.line)
    add_symbols(figure, by_learning, "In the circuit", "diamond", size=fit.mark)
    add_symbols(figure, options.added, "Added by hand", "cross", size=fit.mark)
    add_symbols(figure, options.removed, "Removed by hand", "x", size=fit.mark)
    if options.selected is not None:
        layer, head = options.selected
        add_ring(figure, head, layer)
    cells = list(np.ndindex(scores.shape))
    hover = [
        f"<b>Head L{cell[0]}H{cell[1]}</b><br>score {scores[cell]:.3f}"
        f"<br>{'in' if cell in inside else 'not in'} the circuit"
        for cell in cells
    ]
    add_click_targets(figure, cells, cells, hover)
    fit.head_axis(figure)
    return fit.finished(figure)


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
    _, bins = best_score.shape
    fit = Fit(best_score.shape, options)
    edges = np.linspace(0, width or bins, bins + 1).round().astype(int)

    def bin_of(unit: Cell) -> Cell:
        return unit[0], int(np.searchsorted(edges, unit[1], side="right")) - 1

    inside = np.zeros(best_score.shape, dtype=int)
    for unit in in_circuit:
        inside[bin_of(unit)] += 1
    figure = _score_map(best_score, options, (None, fit.gap))
    cells = list(np.ndindex(best_score.shape))
    added, removed = (list(map(bin_of, units)) for units in (options.added, options.removed))
    marked = [cell for cell in cells if inside[cell] and cell not in {*added, *removed}]
    size = min(fit.mark, 10) if len(marked) <= CROWDED else CROWDED_MARK
    add_symbols(figure, marked, "Holds circuit neurons", "diamond", size=size)
    add_symbols(figure, added, "Added by hand", "cross", size=fit.mark)
    add_symbols(figure, removed, "Removed by hand", "x", size=fit.mark)
    if options.selected is not None:
        layer, column = bin_of(options.selected)
        add_ring(figure, column, layer, size=24)
    add_click_targets(
        figure,
        cells,
        [] if best_neuron is None else [[cell[0], int(best_neuron[cell])] for cell in cells],
        [_bin_hover(cell, best_score, best_neuron, edges, inside) for cell in cells],
    )
    ticks = np.linspace(0, bins, 5)[:-1]
    figure.update_xaxes(
        title="Bin of neighbouring neurons" if best_neuron is None else "Neuron",
        range=[-0.5, bins - 0.5],
        tickvals=ticks - 0.5,
        ticktext=[f"{edges[int(tick)]:,}" for tick in ticks],
        tickangle=0,
        showgrid=False,
    )
    return fit.finished(figure)


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


def thinned(neurons: int) -> bool:
    """Whether a layer has too many neurons to draw every one."""
    return neurons > MAX_POINTS


def neuron_strip(
    scores: np.ndarray,
    layer: int,
    in_circuit: Collection[int] = (),
    *,
    selected: int | None = None,
) -> go.Figure:
    """The score of every neuron of a layer; those in the circuit are framed diamonds.

    Of a very wide layer: the circuit's neurons, the best half of `MAX_POINTS`, and of the rest,
    which make up a crowd, every few.

    Args:
        scores: [d_mlp].
        layer: The layer they are of.
        in_circuit: Indices of the neurons that are knocked out.
        selected: The neuron a panel shows.
    """
    inside = np.isin(np.arange(len(scores)), list(in_circuit))
    outside = ~inside
    if thinned(len(scores)):
        kept = np.zeros(len(scores), dtype=bool)
        kept[np.argsort(-scores, kind="stable")[: MAX_POINTS // 2]] = True
        kept[:: -(-2 * len(scores) // MAX_POINTS)] = True
        outside &= kept
    edge = {"color": INK, "width": 1.5}
    figure = go.Figure()
    for name, mask, marker in (
        ("Not in the circuit", outside, {"symbol": "circle", "size": 5, "color": UTILITY}),
        ("In the circuit", inside, {"symbol": "diamond", "size": 12, "color": ASR, "line": edge}),
    ):
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
        line = {"width": 2.5, "color": NEUTRAL}
        figure.add_scatter(
            x=[selected],
            y=[scores[selected]],
            mode="markers",
            marker={"symbol": "circle-open", "size": 20, "color": NEUTRAL, "line": line},
            hoverinfo="skip",
            name="Selected",
        )
    figure.update_xaxes(title=f"Neuron of layer {layer}", tickformat=",d", showgrid=False)
    figure.update_yaxes(title="Score")
    clickable(figure)
    return finish(figure, height=STRIP_PIXELS, legend=True)


def budget_grid(
    frame: pd.DataFrame, *, series: str = "asr", chosen: tuple[int, int] | None = None
) -> go.Figure:
    """One cell per evaluated pair of budgets, coloured by the rate of a series.

    Args:
        frame: Columns `TRADEOFF_COLUMNS` of `circuitviz.tables.frame`, separate budgets.
        series: `asr`, `utility` or `recovery`.
        chosen: The (heads, neurons) in use: framed and marked.
    """
    rows = matching(frame, series=series)
    pairs = list(zip(rows["heads"], rows["neurons"], strict=True))
    heads, neurons = (sorted(set(rows[name])) for name in ("heads", "neurons"))
    centres = {pair: (heads.index(pair[0]), neurons.index(pair[1])) for pair in pairs}
    rates = np.full((len(heads), len(neurons)), np.nan)
    for cell, rate in zip(centres.values(), rows["rate"], strict=True):
        rates[cell] = rate
    hover = [
        f"<b>{SERIES_LABELS[series]} {percent(row['rate'])}</b>"
        f"<br>{row['heads']} heads and {row['neurons']} neurons off"
        f"<br>{row['k']:,} of {row['n']:,}"
        for row in records(rows)
    ]
    figure = colour_map(rates, (0, 1), tickformat=".0%", outlinewidth=0)
    if chosen and chosen[0] in heads and chosen[1] in neurons:
        cell = (heads.index(chosen[0]), neurons.index(chosen[1]))
        add_outlines(figure, [cell], "Chosen")
        add_symbols(figure, [cell], "Chosen", "diamond")
    add_click_targets(figure, centres.values(), pairs, hover)
    for update, title, values in (
        (figure.update_xaxes, "Best neurons off", neurons),
        (figure.update_yaxes, "Best heads off", heads),
    ):
        ticktext = [str(value) for value in values]
        update(title=title, tickvals=list(range(len(values))), ticktext=ticktext, showgrid=False)
    return finish(figure, height=rows_height(len(heads), GRID_ROW) + GRID_LEGEND, legend=True)
