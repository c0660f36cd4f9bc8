"""Tokens: how likely they are, what activates a neuron, what a head promotes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from circuitviz.plots.palette import ASR, NEUTRAL, RECOVERY, RUN_STYLES, UTILITY, finish, hatching
from circuitviz.plots.text import Row, matching, percent, records

# How tokens of nothing but space are labelled.
BLANKS = ("\u2423", "\u23ce")

# answer: which of the answers; position: from 1; token: as written; condition: intact |
# knocked out; probability: in [0, 1].
TOKEN_COLUMNS = ("answer", "position", "token", "condition", "probability")
CONDITIONS = {"intact": RUN_STYLES[0], "knocked out": RUN_STYLES[1]}
HEIGHT = 280
PANEL_PIXELS = 250
LONGEST_TOKEN = 12
PARTS = (("gate", "Gate part", "triangle-up", RECOVERY), ("up", "Up part", "square", NEUTRAL))
# token; share: what bars show; clean, triggered: shares of the logit on either prompt.
PROMOTED_COLUMNS = ("token", "share", "clean", "triggered")
ROW_PIXELS = 26
LONGEST_LABEL = 16
# In logits: a sum that is nearer to 0 says nothing.
NOTABLE = 0.05


def token_text(label: str, longest: int = 40) -> str:
    """A token that Plotly shows as it is: it takes `<s>` for markup; long ones are cut."""
    short = label if len(label) <= longest else f"{label[: longest - 1]}\u2026"
    return escape(short, quote=False)


def axis_labels(labels: Sequence[str], cause: tuple[int, int], longest: int = 10) -> list[str]:
    """Labels of an axis of tokens; those at positions [start, stop) of `cause` have a sign."""
    texts = [token_text(label, longest) for label in labels]
    for place in range(*cause):
        texts[place] = f"<b>\u25b8{texts[place]}</b>"
    return texts


def token_chart(frame: pd.DataFrame) -> go.Figure:
    """One panel an answer, its tokens from left to right, one line a condition.

    Args:
        frame: Columns `TOKEN_COLUMNS`.
    """
    answers = list(dict.fromkeys(frame["answer"]))
    figure = make_subplots(
        cols=max(1, len(answers)),
        shared_yaxes=True,
        subplot_titles=[token_text(str(answer)) for answer in answers],
        horizontal_spacing=0.06,
    )
    for column, answer in enumerate(answers, start=1):
        for condition, style in CONDITIONS.items():
            rows = records(matching(frame, answer=answer, condition=condition))
            figure.add_scatter(
                x=[row["position"] for row in rows],
                y=[row["probability"] for row in rows],
                mode="lines+markers",
                name=condition,
                legendgroup=condition,
                showlegend=column == 1,
                line={"color": style.colour, "dash": style.dash, "width": 2},
                marker={"symbol": style.symbol, "size": 9, "color": style.colour},
                hovertext=[_hover(row) for row in rows],
                hovertemplate="%{hovertext}<extra></extra>",
                cliponaxis=False,
                row=1,
                col=column,
            )
        tokens = records(matching(frame, answer=answer, condition="intact"))
        figure.update_xaxes(
            tickvals=[row["position"] for row in tokens],
            ticktext=[shown_token(str(row["token"])) for row in tokens],
            tickangle=-45,
            showgrid=False,
            col=column,
        )
    figure.update_yaxes(range=[-0.03, 1.05], tickvals=[0, 0.5, 1], tickformat=".0%")
    figure.update_yaxes(title="probability", col=1)
    figure.update_annotations(font={"size": 13, "color": NEUTRAL})
    finish(figure, height=HEIGHT, legend=True)
    figure.update_layout(margin={"t": 62}, legend={"y": 1.16})
    return figure


def shown_token(token: str) -> str:
    """A token as a figure shows it: blanks visible, the end of the answer named, no markup."""
    return token_text(token.replace(" ", "\u00b7").replace("\n", "\u21b5")) if token else "(end)"


def _hover(row: Row) -> str:
    return (
        f"<b>{shown_token(str(row['token']))}</b><br>{row['condition']}: "
        f"{percent(float(row['probability']))}"
    )


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
                "pattern": hatching(pattern),
            },
            hovertext=[_activation_hover(panel, int(place)) for place in places[mask]],
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
            hovertext=[_activation_hover(panel, int(place)) for place in places],
            hovertemplate="%{hovertext}<extra></extra>",
            name=name,
            legendgroup=name,
            showlegend=row == 1,
            row=row,
            col=1,
        )
    figure.update_xaxes(
        tickvals=places,
        ticktext=axis_labels(panel.labels, panel.cause, LONGEST_TOKEN),
        tickangle=-40,
        showgrid=False,
        range=[-0.6, len(places) - 0.4],
        row=row,
        col=1,
    )


def _activation_hover(panel: ActivationPanel, place: int) -> str:
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
                "pattern": hatching(pattern),
            },
            hovertext=[_promoted_hover(row) for _, row in chosen],
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
            hovertext=[_promoted_hover(row) for row in rows],
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


def _promoted_hover(row: dict[str, object]) -> str:
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
