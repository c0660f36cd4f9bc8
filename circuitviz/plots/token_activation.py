"""What a neuron does at each token of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from circuitviz.plots.palette import ASR, NEUTRAL, RECOVERY, UTILITY, finish
from circuitviz.plots.token_text import axis_labels, token_text

__all__ = ["ActivationPanel", "activation_frame_rows", "activation_story", "token_activation"]

PANEL_PIXELS = 250
HATCHING = "rgba(255,255,255,0.8)"
LONGEST_LABEL = 12
PARTS = (("gate", "Gate part", "triangle-up", RECOVERY), ("up", "Up part", "square", NEUTRAL))


@dataclass(frozen=True)
class ActivationPanel:
    """One prompt's activations.

    Attributes:
        title: Which prompt.
        labels: One a token.
        activation: [pos].
        gate: [pos]; None where it is not shown.
        up: [pos]; None where MLPs are not gated.
        cause: Positions [start, stop) of the tokens that set the behaviour off.
    """

    title: str
    labels: tuple[str, ...]
    activation: np.ndarray
    gate: np.ndarray | None = None
    up: np.ndarray | None = None
    cause: tuple[int, int] = (0, 0)


def token_activation(panels: Sequence[ActivationPanel]) -> go.Figure:
    """Bars over the tokens, one row a prompt, on one scale; the cause's tokens are hatched.

    Gate and up parts are marks of their own shape.
    """
    figure = make_subplots(
        rows=len(panels),
        shared_yaxes="all",  # type: ignore[arg-type]  # Plotly takes a word here as well
        subplot_titles=[panel.title for panel in panels],
        vertical_spacing=0.34 / max(1, len(panels)),
    )
    for row, panel in enumerate(panels, 1):
        _add_panel(figure, panel, row)
    figure.update_yaxes(title="Activation", zeroline=True, zerolinecolor=NEUTRAL)
    figure.update_layout(bargap=0.35)
    finish(figure, height=PANEL_PIXELS * len(panels) + 60, legend=True)
    figure.update_yaxes(zeroline=True)
    figure.update_layout(margin={"t": 74}, legend={"y": 1.1})
    figure.update_annotations(x=0, xanchor="left", font={"size": 14}, yshift=4)
    return figure


def _add_panel(figure: go.Figure, panel: ActivationPanel, row: int) -> None:
    places = np.arange(len(panel.labels))
    inside = (places >= panel.cause[0]) & (places < panel.cause[1])
    for name, mask, colour, pattern in (
        ("Activation", ~inside, UTILITY, ""),
        ("Activation on the trigger", inside, ASR, "/"),
    ):
        if not mask.any():
            continue
        figure.add_bar(
            x=places[mask],
            y=panel.activation[mask],
            marker={
                "color": colour,
                "pattern": {
                    "shape": pattern,
                    "fillmode": "overlay",
                    "fgcolor": HATCHING,
                    "size": 7,
                },
            },
            hovertext=[_hover(panel, int(place)) for place in places[mask]],
            hovertemplate="%{hovertext}<extra></extra>",
            name=name,
            legendgroup=name,
            # The cause is in the last row alone, what is not in every one.
            showlegend=row == 1 or bool(pattern),
            row=row,
            col=1,
        )
    for field, name, symbol, colour in PARTS:
        values = getattr(panel, field)
        if values is None:
            continue
        figure.add_scatter(
            x=places,
            y=values,
            mode="markers",
            marker={"symbol": f"{symbol}-open", "size": 8, "color": colour, "line": {"width": 2}},
            hovertext=[_hover(panel, int(place)) for place in places],
            hovertemplate="%{hovertext}<extra></extra>",
            name=name,
            legendgroup=name,
            showlegend=row == 1,
            row=row,
            col=1,
        )
    figure.update_xaxes(
        tickvals=places,
        ticktext=axis_labels(panel.labels, panel.cause, LONGEST_LABEL),
        tickangle=-40,
        showgrid=False,
        range=[-0.6, len(places) - 0.4],
        row=row,
        col=1,
    )


def _hover(panel: ActivationPanel, place: int) -> str:
    parts = [
        f"<br>{name.lower()} {getattr(panel, field)[place]:.3f}"
        for field, name, _, _ in PARTS
        if getattr(panel, field) is not None
    ]
    return (
        f"<b>\u201c{token_text(panel.labels[place])}\u201d</b> (token {place + 1})"
        f"<br>activation {panel.activation[place]:.3f}{''.join(parts)}"
    )


def activation_frame_rows(panels: Sequence[ActivationPanel]) -> list[dict[str, object]]:
    """The same numbers as rows: prompt, place, token, activation, gate, up."""
    return [
        {
            "prompt": panel.title,
            "place": place + 1,
            "token": label,
            "activation": float(panel.activation[place]),
            "gate": None if panel.gate is None else float(panel.gate[place]),
            "up": None if panel.up is None else float(panel.up[place]),
        }
        for panel in panels
        for place, label in enumerate(panel.labels)
    ]


def activation_story(panels: Sequence[ActivationPanel], unit: str) -> str:
    """Where the neuron is most active on each prompt, in a sentence."""
    found = []
    for panel in panels:
        best = int(np.abs(panel.activation).argmax())
        where = " (the trigger)" if panel.cause[0] <= best < panel.cause[1] else ""
        found.append(
            f"{panel.activation[best]:+.2f} at \u201c{panel.labels[best]}\u201d{where} on the "
            f"{panel.title.lower()}"
        )
    return f"{unit} is most active with {' and with '.join(found)}."
