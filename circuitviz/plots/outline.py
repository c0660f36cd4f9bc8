"""Lines and symbols laid over heatmaps: which cells are marked, and how."""

from __future__ import annotations

from collections.abc import Iterable

import plotly.graph_objects as go

from circuitviz.plots.palette import HALO, INK

__all__ = ["Cell", "add_click_targets", "add_outlines", "add_ring", "add_symbols"]

# (layer, column): the row and the column of a cell.
Cell = tuple[int, int]

# Small enough that the nearest centre decides which cell a click belongs to.
TARGET_SIZE = 6


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
