"""Run x run: how many units two circuits have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from circuitviz.plots.palette import SEQUENTIAL, finish

__all__ = ["overlap_heatmap"]

ROW_PIXELS = 54
BRIGHT = 0.6  # from here on the scale is light, and black text is read


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
    return finish(figure, height=len(names) * ROW_PIXELS + 90)
