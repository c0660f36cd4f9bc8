"""Colours, symbols and layout every figure shares.

Categorical colours are Okabe and Ito's, the sequential scale is cividis: both keep their meaning
under the common forms of colour blindness.  Only hues that stand out on a white and on a
near-black page are used, so that a figure needs no knowledge of the theme, and every meaning
has a symbol or an outline besides its colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from circuitviz.narrative.numbers import percent
from circuitviz.tables.rows import Row

# Okabe & Ito (2008), "Color universal design".
ASR = "#D55E00"  # vermillion
UTILITY = "#0A84C6"  # their blue, lightened until it has 4:1 on white and on near-black
RECOVERY = "#009E73"  # bluish green
NEUTRAL = "#8A8F98"
FADED = "rgba(138,143,152,0.55)"

# A white line on a black one is seen on every colour of the sequential scale.
INK, HALO = "#000000", "#FFFFFF"
SEQUENTIAL = "Cividis"
# Their vermillion through a pale grey to their blue; both ends are told apart in every form of
# colour blindness, and the middle says that there is no difference.
DIVERGING = (
    (0.0, "#B34F00"),
    (0.25, "#E8935A"),
    (0.5, "#E6E8EB"),
    (0.75, "#7ABDE2"),
    (1, "#005B94"),
)

# Pixels.  Rows of a deep model are thin, but never so thin that they cannot be hit.
TALLEST_MAP = 520
MIN_ROW = 8
# So many ticks have room on an axis; they stand at round steps.
MAX_TICKS = 16
TICK_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

# Ticks of an axis of rates, and a hover that is written out beforehand.
PERCENT_AXIS = {"tickvals": [0, 0.25, 0.5, 0.75, 1], "tickformat": ".0%"}
WRITTEN = "%{hovertext}<extra></extra>"


@dataclass(frozen=True)
class Style:
    """How one of several things is told from the others: never by its colour alone.

    Attributes:
        colour: `#RRGGBB`.
        symbol: Plotly's name of a marker.
        dash: Plotly's name of a line style.
        pattern: Plotly's name of a hatching, for bars.
    """

    colour: str
    symbol: str
    dash: str = "solid"
    pattern: str = ""


SERIES_LABELS = {"asr": "Attack success", "utility": "Utility", "recovery": "Recovery"}
SERIES_STYLES = {
    "asr": Style(ASR, "circle"),
    "utility": Style(UTILITY, "square", "dash"),
    "recovery": Style(RECOVERY, "diamond", "dot"),
}
# Okabe and Ito's hues again; orange and purple are darkened to 3:1 on white.
RUN_STYLES = (
    Style(UTILITY, "circle"),
    Style(ASR, "square", "dash", "/"),
    Style(RECOVERY, "diamond", "dot", "x"),
    Style("#C2689B", "triangle-up", "dashdot", "."),
    Style("#B98000", "x", "longdash", "-"),
)


def translucent(colour: str, opacity: float) -> str:
    """`#RRGGBB` with an opacity in [0, 1], as `rgba(...)`."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def rows_height(rows: int, row_pixels: int, tallest: int = TALLEST_MAP) -> int:
    """Pixels for so many rows of a map; rows get thinner where there are many."""
    return round(max(MIN_ROW * rows, min(row_pixels * rows, tallest)))


def clickable(figure: go.Figure) -> None:
    """Let a click choose the nearest point, wherever it lands."""
    figure.update_layout(hovermode="closest", hoverdistance=-1, clickmode="event+select")


def rate_hover(row: Row, title: str, *lines: str) -> str:
    """What a point says about a rate: a title in bold, lines, k of n and the interval."""
    interval = f"95 % {percent(row['low'])} to {percent(row['high'])}"
    return "<br>".join([f"<b>{title}</b>", *lines, f"{row['k']:,} of {row['n']:,}, {interval}"])


def hatching(shape: str, *, opacity: float = 0.8) -> dict[str, object]:
    """White lines over bars, so that they are told apart without colour; shapes as Plotly's."""
    return {
        "shape": shape,
        "fillmode": "overlay",
        "fgcolor": f"rgba(255,255,255,{opacity})",
        "size": 7,
    }


def tick_step(number: int, most: int = MAX_TICKS) -> int:
    """The smallest round step that gives so many rows or columns at most `most` ticks."""
    return next((step for step in TICK_STEPS if number <= step * most), max(1, number // most))


def finish(figure: go.Figure, *, height: int, legend: bool = False) -> go.Figure:
    """Give a figure the margins, the legend and the hover behaviour all of ours have."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 40 if legend else 12, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=legend,
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "title": {"text": ""},
        },
        dragmode=False,
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(automargin=True, zeroline=False, fixedrange=True)
    figure.update_yaxes(automargin=True, zeroline=False, fixedrange=True)
    return figure
