"""Neurons per layer, one bar per run."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.palette import RUN_STYLES, finish, tick_step
from circuitviz.plots.rows import matching, records

__all__ = ["layer_bars"]

BARS_PIXELS = 300
HATCHING = "rgba(255,255,255,0.8)"


def layer_bars(frame: pd.DataFrame) -> go.Figure:
    """How many neurons of each layer are in each circuit; bars differ in hatching too.

    Args:
        frame: Columns run, layer, neurons; the order of the runs decides their style.
    """
    figure = go.Figure()
    for place, label in enumerate(dict.fromkeys(frame["run"])):
        style = RUN_STYLES[place % len(RUN_STYLES)]
        rows = records(matching(frame, run=label))
        figure.add_bar(
            x=[row["layer"] for row in rows],
            y=[row["neurons"] for row in rows],
            marker={
                "color": style.colour,
                "pattern": {
                    "shape": style.pattern,
                    "fillmode": "overlay",
                    "fgcolor": HATCHING,
                    "size": 7,
                },
            },
            hovertemplate="layer %{x}: %{y} neurons<extra>" + str(label) + "</extra>",
            name=str(label),
        )
    layers = sorted(set(frame["layer"]))
    figure.update_xaxes(
        title="Layer", dtick=tick_step(len(layers)), tick0=0, tickangle=0, showgrid=False
    )
    most = max(frame["neurons"], default=0)
    figure.update_yaxes(title="Neurons in the circuit", range=[0, max(1, most) * 1.08])
    if most <= 8:
        figure.update_yaxes(dtick=1)
    figure.update_layout(barmode="group", bargap=0.25)
    return finish(figure, height=BARS_PIXELS, legend=True)
