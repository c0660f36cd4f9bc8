"""The memory that learning needs beside the memory that is there."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from circuitviz.plots.palette import NEUTRAL, RUN_STYLES, finish

__all__ = ["MEMORY_PARTS", "memory_bars", "memory_size"]

BARS_PIXELS = 190
HATCHING = "rgba(255,255,255,0.8)"
MEMORY_PARTS = {
    "weights": "Weights",
    "activations": "Activations",
    "logits": "Logits",
    "gates": "Masks",
}
NEEDED, THERE = "Needed", "Available"
# For the number behind the longest bar, as a share of it.
ROOM_AFTER_BAR = 1.3


def memory_size(size: int) -> str:
    """1610612736 -> `1.5 GiB`, with a thin space that never breaks the line."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power:
            value = size / 1024**power
            return f"{value:,.{0 if value >= 100 else 1}f}\u202f{unit}"
    return f"{size}\u202fbytes"


def memory_bars(parts: Mapping[str, int], available: int) -> go.Figure:
    """Two bars to one scale: what is needed, by part, and what there is.

    Args:
        parts: Bytes by the names of `MEMORY_PARTS`.
        available: Bytes.
    """
    figure = go.Figure()
    total = sum(parts[name] for name in MEMORY_PARTS)
    longest = max(total, available, 1)
    for place, (name, title) in enumerate(MEMORY_PARTS.items()):
        style, size = RUN_STYLES[place], parts[name]
        figure.add_bar(
            x=[size],
            y=[NEEDED],
            orientation="h",
            name=title,
            marker={
                "color": style.colour,
                "pattern": {
                    "shape": style.pattern,
                    "fillmode": "overlay",
                    "fgcolor": HATCHING,
                    "size": 7,
                },
            },
            hovertemplate=f"{title}: {memory_size(size)}<extra></extra>",
        )
    figure.add_bar(
        x=[available],
        y=[THERE],
        orientation="h",
        name=THERE,
        showlegend=False,
        marker={"color": NEUTRAL},
        hovertemplate=f"{THERE}: {memory_size(available)}<extra></extra>",
    )
    figure.add_scatter(
        x=[total, available],
        y=[NEEDED, THERE],
        mode="text",
        text=[f"<b> {memory_size(total)}</b>", f" {memory_size(available)}"],
        textposition="middle right",
        hoverinfo="skip",
        showlegend=False,
        name="value",
    )
    figure.update_layout(barmode="stack", bargap=0.35, legend_traceorder="normal")
    figure.update_xaxes(range=[0, longest * ROOM_AFTER_BAR], visible=False)
    figure.update_yaxes(categoryorder="array", categoryarray=[THERE, NEEDED], showgrid=False)
    return finish(figure, height=BARS_PIXELS, legend=True)
