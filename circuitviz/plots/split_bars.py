"""How many prompts there are of each split and role."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from circuitviz.plots.palette import ASR, UTILITY, finish

__all__ = ["split_bars"]

BARS_PIXELS = 210
HATCHING = "rgba(255,255,255,0.8)"
# What each split is for, beside its name.
SPLITS = {
    "train": "Train: masks are learned",
    "validation": "Validation: the size is chosen",
    "test": "Test: results are measured",
}
ROLES = {"attack": ("Attack", ASR, ""), "benign": ("Benign", UTILITY, "/")}
# For the numbers behind the longest bar, as a share of it.
ROOM_AFTER_BAR = 1.6


def split_bars(counts: Mapping[str, Mapping[str, int]]) -> go.Figure:
    """One stacked bar a split, its roles told apart by colour and hatching, with their numbers.

    Args:
        counts: Prompts by split and role.
    """
    figure = go.Figure()
    names = list(SPLITS)
    for role, (title, colour, pattern) in ROLES.items():
        numbers = [counts.get(split, {}).get(role, 0) for split in names]
        figure.add_bar(
            x=numbers,
            y=[SPLITS[split] for split in names],
            orientation="h",
            name=title,
            marker={
                "color": colour,
                "pattern": {
                    "shape": pattern,
                    "fillmode": "overlay",
                    "fgcolor": HATCHING,
                    "size": 7,
                },
            },
            hovertemplate=f"{title}: %{{x:,}} prompts<extra></extra>",
        )
    totals = [sum(counts.get(split, {}).values()) for split in names]
    figure.add_scatter(
        x=totals,
        y=[SPLITS[split] for split in names],
        mode="text",
        text=[_numbers(counts.get(split, {})) for split in names],
        textposition="middle right",
        hoverinfo="skip",
        showlegend=False,
        name="value",
    )
    figure.update_layout(barmode="stack", bargap=0.3, legend_traceorder="normal")
    figure.update_xaxes(range=[0, max(1, *totals) * ROOM_AFTER_BAR], visible=False)
    figure.update_yaxes(categoryorder="array", categoryarray=[SPLITS[s] for s in names[::-1]])
    figure.update_yaxes(showgrid=False)
    return finish(figure, height=BARS_PIXELS, legend=True)


def _numbers(roles: Mapping[str, int]) -> str:
    return " " + " + ".join(f"{roles.get(role, 0):,} {role}" for role in ROLES)
