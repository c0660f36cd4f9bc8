"""What maps of layers share, however deep the model is: axes, gaps, sizes of marks and bins."""

from __future__ import annotations

import plotly.graph_objects as go

from circuitviz.plots.palette import tick_step

__all__ = ["Fit", "bins_for", "head_axis", "layer_axis"]

# Cells of a map; each has a text of its own, so that more would make a figure of megabytes.
MOST_CELLS = 4096
FEWEST_BINS = 16
# From so many columns on, gaps of two pixels would take most of a cell on a narrow page.
MANY_COLUMNS = 24
LARGEST_MARK, SMALLEST_MARK = 11, 8
# In rows lower than this a frame is hardly seen, and the symbol is larger than its cell.
FRAMED_ROW = 10


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
