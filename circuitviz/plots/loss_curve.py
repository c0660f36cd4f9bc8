"""How the losses fall while a circuit is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.palette import ASR, NEUTRAL, RECOVERY, UTILITY, finish

__all__ = ["loss_curve", "loss_frame"]

CURVE_PIXELS = 300
LOSS_STYLES = {
    "removal": ("Behaviour still there (removal)", ASR, "solid"),
    "utility": ("Normal answers changed (utility)", UTILITY, "dash"),
    "sufficiency": ("Circuit alone (sufficiency)", RECOVERY, "dot"),
}


def loss_curve(
    steps: Sequence[int], losses: Mapping[str, Sequence[float]], total_steps: int
) -> go.Figure:
    """One line per loss, nats per answer token, over the optimiser steps.

    Args:
        steps: [points], the step of each value.
        losses: By name, [points] each; the latest points win if a list is longer than `steps`.
        total_steps: End of the step axis, so that it does not move while the lines grow.
    """
    figure = go.Figure()
    for name, values in losses.items():
        label, colour, dash = LOSS_STYLES.get(name, (name, NEUTRAL, "dashdot"))
        points = min(len(steps), len(values))
        figure.add_scatter(
            x=list(steps)[-points:] if points else [],
            y=list(values)[-points:] if points else [],
            mode="lines",
            line={"color": colour, "width": 2.5, "dash": dash},
            hovertemplate="step %{x}: %{y:.3f}<extra>" + label + "</extra>",
            name=label,
        )
    figure.update_xaxes(title="Step", range=[0, max(total_steps, 1)], showgrid=False)
    figure.update_yaxes(title="Loss (nats per token)", rangemode="tozero")
    return finish(figure, height=CURVE_PIXELS, legend=True)


def loss_frame(steps: Sequence[int], losses: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """The lines as a table: step, and a column a loss; missing where it is not known yet.

    Args:
        steps: [points], the step of each value.
        losses: By name, [points] each; the latest points win if a list is longer than `steps`.
    """
    columns = {}
    for name, values in losses.items():
        latest = list(values)[-len(steps) :] if steps else []
        columns[name] = [None] * (len(steps) - len(latest)) + latest
    return pd.DataFrame({"step": list(steps), **columns})
