"""One layer's neurons in full."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import plotly.graph_objects as go

from circuitviz.plots.palette import ASR, INK, NEUTRAL, UTILITY, finish

__all__ = ["neuron_strip"]

STRIP_PIXELS = 300
# Above this many points SVG gets slow.
SVG_POINTS = 4096


def neuron_strip(
    scores: np.ndarray,
    layer: int,
    in_circuit: Collection[int] = (),
    *,
    selected: int | None = None,
) -> go.Figure:
    """The score of every neuron of a layer; those in the circuit are framed diamonds.

    Args:
        scores: [d_mlp].
        layer: The layer they are of.
        in_circuit: Indices of the neurons that are knocked out.
        selected: The neuron a panel shows.
    """
    inside = np.isin(np.arange(len(scores)), list(in_circuit))
    figure = go.Figure()
    groups = (
        ("Not in the circuit", ~inside, {"symbol": "circle", "size": 5, "color": UTILITY}),
        (
            "In the circuit",
            inside,
            {"symbol": "diamond", "size": 12, "color": ASR, "line": {"color": INK, "width": 1.5}},
        ),
    )
    kind = go.Scattergl if len(scores) > SVG_POINTS else go.Scatter
    for name, mask, marker in groups:
        index = np.flatnonzero(mask)
        figure.add_trace(
            kind(
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
    figure.update_xaxes(title=f"Neuron of layer {layer}", showgrid=False)
    figure.update_yaxes(title="Score")
    figure.update_layout(hovermode="closest", hoverdistance=-1, clickmode="event+select")
    return finish(figure, height=STRIP_PIXELS, legend=True)
