"""Where a head looks, from every token to every token before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from circuitviz.plots.palette import HALO, INK, SEQUENTIAL, finish
from circuitviz.plots.text import percent
from circuitviz.plots.token_charts import BLANKS, axis_labels, token_text

PANEL_PIXELS = 470
MOST_TOKENS = 44
# At least this share of a row's attention is worth a sentence.
NOTABLE = 0.1


@dataclass(frozen=True)
class AttentionPanel:
    """One prompt's pattern.

    Attributes:
        title: Which prompt.
        text: The message.
        pattern: [pos pos], from row to column; rows sum to 1.
        labels: One a token.
        cause: Positions [start, stop) of the tokens that set the behaviour off.
    """

    title: str
    text: str
    pattern: np.ndarray
    labels: tuple[str, ...]
    cause: tuple[int, int] = (0, 0)

    def cut(self) -> AttentionPanel:
        """The last `MOST_TOKENS` tokens, where there are more."""
        start = max(0, len(self.labels) - MOST_TOKENS)
        first, last = self.cause
        return AttentionPanel(
            self.title,
            self.text,
            self.pattern[start:, start:],
            self.labels[start:],
            (max(0, first - start), max(0, last - start)),
        )


def attention_pattern(panel: AttentionPanel) -> go.Figure:
    """One prompt's pattern as a square map; the columns of the cause are framed."""
    shown = panel.cut()
    size = len(shown.labels)
    figure = go.Figure()
    figure.add_heatmap(
        z=np.where(np.tri(size, dtype=bool), shown.pattern, np.nan),
        zmin=0,
        zmax=1,
        colorscale=SEQUENTIAL,
        xgap=1,
        ygap=1,
        hoverongaps=False,
        text=_hover(shown),
        hovertemplate="%{text}<extra></extra>",
        colorbar={
            "title": {"text": "Attention", "side": "right"},
            "tickformat": ".0%",
            "thickness": 10,
            "outlinewidth": 0,
        },
        name=panel.title,
    )
    _frame_cause(figure, shown)
    _label_tokens(figure, shown)
    finish(figure, height=PANEL_PIXELS)
    # Axes of equal scale and margins that follow the labels would shrink each other for ever.
    figure.update_xaxes(automargin=False)
    figure.update_yaxes(automargin=False)
    return figure.update_layout(margin={"l": 96, "r": 8, "t": 12, "b": 96})


def _frame_cause(figure: go.Figure, panel: AttentionPanel) -> None:
    start, stop = panel.cause
    if stop <= start:
        return
    bottom = len(panel.labels) - 0.5
    for colour, width in ((INK, 5), (HALO, 2)):
        figure.add_scatter(
            x=[start - 0.5, stop - 0.5, stop - 0.5, start - 0.5, start - 0.5],
            y=[start - 0.5, start - 0.5, bottom, bottom, start - 0.5],
            mode="lines",
            line={"color": colour, "width": width},
            hoverinfo="skip",
            name="The trigger",
        )


def _label_tokens(figure: go.Figure, panel: AttentionPanel) -> None:
    size = len(panel.labels)
    ticks = {
        "tickvals": list(range(size)),
        "ticktext": axis_labels(panel.labels, panel.cause),
        "tickfont": {"size": 12 if size <= 20 else 9},
        "showgrid": False,
        "constrain": "domain",
    }
    figure.update_xaxes(
        **ticks,
        range=[-0.5, size - 0.5],
        tickangle=-55,
        title={"text": "looks at", "standoff": 4},
    )
    figure.update_yaxes(
        **ticks,
        range=[size - 0.5, -0.5],
        scaleanchor="x",
        title={"text": "from", "standoff": 4},
    )


def _hover(panel: AttentionPanel) -> list[list[str]]:
    return [
        [
            f"<b>{percent(float(panel.pattern[row, column]))}</b><br>"
            f"from \u201c{token_text(reader)}\u201d ({row + 1}) "
            f"to \u201c{token_text(read)}\u201d ({column + 1})"
            for column, read in enumerate(panel.labels)
        ]
        for row, reader in enumerate(panel.labels)
    ]


def attention_story(panels: Sequence[AttentionPanel], unit: str) -> str:
    """Where the head looks from the position that decides the answer, in a sentence."""
    *_, panel = panels
    last = panel.pattern[-1]
    start, stop = panel.cause
    on_cause = float(last[start:stop].sum())
    best = int(last.argmax())
    reader, named = panel.labels[-1], panel.labels[best]
    text = (
        f"From \u201c{reader}\u201d, where the answer is decided, {unit} looks most at "
        f"\u201c{named}\u201d ({percent(float(last[best]), 0)})"
    )
    if stop <= start:
        return f"{text}."
    words = " ".join(label for label in panel.labels[start:stop] if label not in BLANKS)
    rows = panel.pattern[stop:, start:stop].sum(1)
    strongest = int(rows.argmax()) + stop if len(rows) else None
    text += f"; {percent(on_cause, 0)} goes to \u201c{words}\u201d."
    if on_cause < NOTABLE and strongest is not None and rows.max() >= NOTABLE:
        text += (
            f" Of later tokens, \u201c{panel.labels[strongest]}\u201d looks at it most "
            f"({percent(float(rows.max()), 0)})."
        )
    return text
