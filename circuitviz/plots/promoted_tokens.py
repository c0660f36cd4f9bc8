"""Which tokens a unit makes likelier, and which less likely."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from circuitviz.plots.palette import ASR, NEUTRAL, UTILITY, finish
from circuitviz.plots.rows import records
from circuitviz.plots.token_text import token_text

__all__ = ["PROMOTED_COLUMNS", "promoted_story", "promoted_tokens"]

# token; share: what bars show; clean, triggered: shares of the logit on either prompt.
PROMOTED_COLUMNS = ("token", "share", "clean", "triggered")
ROW_PIXELS = 26
HATCHING = "rgba(255,255,255,0.8)"
LONGEST_LABEL = 16
# In logits: a sum that is nearer to 0 says nothing.
NOTABLE = 0.05


def promoted_tokens(frame: pd.DataFrame, axis: str, *, marks: str | None = None) -> go.Figure:
    """Bars to the right raise a token, hatched bars to the left lower it.

    Args:
        frame: Columns `PROMOTED_COLUMNS`, the most promoted first.
        axis: What the bars measure.
        marks: Where given, diamonds of this name show the share on the clean prompt.
    """
    rows = records(frame)
    places = list(range(len(rows)))[::-1]
    figure = go.Figure()
    for name, wanted, colour, pattern in (
        ("makes likelier", True, UTILITY, ""),
        ("makes less likely", False, ASR, "/"),
    ):
        chosen = [
            (place, row)
            for place, row in zip(places, rows, strict=True)
            if (row["share"] >= 0) == wanted
        ]
        figure.add_bar(
            y=[place for place, _ in chosen],
            x=[row["share"] for _, row in chosen],
            orientation="h",
            marker={
                "color": colour,
                "pattern": {
                    "shape": pattern,
                    "fillmode": "overlay",
                    "fgcolor": HATCHING,
                    "size": 7,
                },
            },
            hovertext=[_hover(row) for _, row in chosen],
            hovertemplate="%{hovertext}<extra></extra>",
            name=name,
        )
    if marks:
        figure.add_scatter(
            x=[row["clean"] for row in rows],
            y=places,
            mode="markers",
            marker={
                "symbol": "diamond-open",
                "size": 9,
                "color": NEUTRAL,
                "line": {"width": 2, "color": NEUTRAL},
            },
            hovertext=[_hover(row) for row in rows],
            hovertemplate="%{hovertext}<extra></extra>",
            name=marks,
        )
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1})
    figure.update_yaxes(
        tickvals=places,
        ticktext=[token_text(str(row["token"]), LONGEST_LABEL) for row in rows],
        range=[-0.7, len(rows) - 0.3],
        showgrid=False,
    )
    figure.update_xaxes(title=axis)
    figure.update_layout(barmode="overlay", bargap=0.3)
    return finish(figure, height=len(rows) * ROW_PIXELS + 120, legend=True)


def _hover(row: dict[str, object]) -> str:
    return (
        f"<b>\u201c{token_text(str(row['token']))}\u201d</b><br>share of the logit: "
        f"{row['triggered']:+.3f} triggered, {row['clean']:+.3f} clean"
    )


def promoted_story(
    unit: str, target: str, other: str, towards: tuple[float, float], names: tuple[str, str]
) -> str:
    """What the unit writes for or against the behaviour's token, in a sentence.

    Args:
        unit: Its name.
        target: The behaviour's token where the answer is decided.
        other: The token expected without the behaviour.
        towards: By how many logits the unit raises one over the other, on each prompt.
        names: What the two prompts are called.
    """
    before, after = towards
    if abs(after) < NOTABLE:
        return (
            f"By itself {unit} writes next to nothing for \u201c{target}\u201d over "
            f"\u201c{other}\u201d ({after:+.2f} logits on the {names[1]} prompt): whatever it "
            "does, it does through later units."
        )
    verb = "raises" if after > 0 else "lowers"
    return (
        f"By itself {unit} {verb} \u201c{target}\u201d over \u201c{other}\u201d by "
        f"{abs(after):.2f} logits on the {names[1]} prompt ({before:+.2f} on the {names[0]} one)."
    )
