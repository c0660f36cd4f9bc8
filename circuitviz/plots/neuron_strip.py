"""One layer's neurons in full."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import plotly.graph_objects as go

from circuitviz.plots.palette import ASR, INK, NEUTRAL, UTILITY, finish

__all__ = ["neuron_strip", "thinned"]

STRIP_PIXELS = 300
# More points than this are slow to draw, and lie on top of each other.
MOST_POINTS = 4096


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
