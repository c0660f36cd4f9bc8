"""What became of the attacks before and after: refused, complied with, or gibberish."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.palette import ASR, NEUTRAL, UTILITY, finish
from circuitviz.plots.rows import Row, matching, records
from circuitviz.plots.text import percent

__all__ = ["verdict_bars"]

BARS_PIXELS = 190
HATCHING = "rgba(255,255,255,0.75)"
# Name, colour and hatching of each verdict: told apart without the colour as well.
VERDICTS = {
    "refused": ("Refused", UTILITY, ""),
    "complied": ("Complied with", ASR, "/"),
    "broken": ("Gibberish", NEUTRAL, "x"),
}
# Below this share of the bar a number has no room in its part.
LEAST_ROOM = 0.09


def verdict_bars(frame: pd.DataFrame) -> go.Figure:
    """One bar before and one after, stacked from the shares of the three verdicts.

    Args:
        frame: Columns `VERDICT_COLUMNS` of `circuitviz.plots.open_frame`.
    """
    figure = go.Figure()
    conditions = list(dict.fromkeys(frame["condition"]))
    for verdict, (title, colour, pattern) in VERDICTS.items():
        rows = records(matching(frame, verdict=verdict))
        figure.add_bar(
            x=[row["rate"] for row in rows],
            y=[row["condition"] for row in rows],
            orientation="h",
            name=title,
            marker={
                "color": colour,
                "line": {"color": "#FFFFFF", "width": 1},
                "pattern": {
                    "shape": pattern,
                    "fillmode": "overlay",
                    "fgcolor": HATCHING,
                    "size": 7,
                },
            },
            hovertext=[_hover(row, title) for row in rows],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    _add_numbers(figure, frame)
    figure.update_layout(barmode="stack", bargap=0.3, legend_traceorder="normal")
    figure.update_xaxes(
        range=[0, 1.02],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        tickformat=".0%",
        title="Share of attack prompts",
    )
    figure.update_yaxes(categoryorder="array", categoryarray=conditions[::-1], showgrid=False)
    return finish(figure, height=BARS_PIXELS, legend=True)


def _add_numbers(figure: go.Figure, frame: pd.DataFrame) -> None:
    """The share in the middle of each part that has room, on a box that hides the hatching."""
    for condition in dict.fromkeys(frame["condition"]):
        left = 0.0
        for row in records(matching(frame, condition=condition)):
            if row["rate"] >= LEAST_ROOM:
                figure.add_annotation(
                    x=left + row["rate"] / 2,
                    y=condition,
                    text=f"<b>{percent(row['rate'])}</b>",
                    showarrow=False,
                    font={"color": "#000000", "size": 13},
                    bgcolor="rgba(255,255,255,0.9)",
                    borderpad=2,
                )
            left += row["rate"]


def _hover(row: Row, title: str) -> str:
    return (
        f"<b>{row['condition']}: {title.lower()}, {percent(row['rate'])}</b><br>{row['k']:,} of "
        f"{row['n']:,}, 95 % {percent(row['low'])} to {percent(row['high'])}"
    )
