"""Tokens: how likely they are, what a neuron or a head makes of them, what a unit promotes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from circuitviz.narrative.numbers import percent
from circuitviz.plots.palette import (
    ASR,
    HALO,
    INK,
    NEUTRAL,
    RECOVERY,
    RUN_STYLES,
    SEQUENTIAL,
    UTILITY,
    WRITTEN,
    finish,
    hatching,
)
from circuitviz.tables.rows import matching, records

# How tokens of nothing but space are labelled.
BLANKS = ("\u2423", "\u23ce")
# answer: which of the answers; position: from 1; token: as written; condition: intact |
# knocked out; probability: in [0, 1].
TOKEN_COLUMNS = ("answer", "position", "token", "condition", "probability")
_CONDITIONS = {"intact": RUN_STYLES[0], "knocked out": RUN_STYLES[1]}
# token; share: what bars show; clean, triggered: shares of the logit on either prompt.
PROMOTED_COLUMNS = ("token", "share", "clean", "triggered")
_PARTS = (("gate", "Gate part", "triangle-up", RECOVERY), ("up", "Up part", "square", NEUTRAL))
LIKELY_PIXELS, PANEL_PIXELS, PATTERN_PIXELS, ROW_PIXELS = 280, 250, 470, 26
# Characters of a token on an axis of a few, of many, and of a list.
MAX_TOKEN, MAX_LABEL = 12, 16
# Tokens of an attention pattern.
MAX_TOKENS = 44
# At least this share of a row's attention, or so many logits, is worth a sentence.
NOTABLE_SHARE, NOTABLE_LOGITS = 0.1, 0.05


def token_text(label: str, longest: int = 40) -> str:
    """A token that Plotly shows as it is: it takes `<s>` for markup; long ones are cut."""
    short = label if len(label) <= longest else f"{label[: longest - 1]}\u2026"
    return escape(short, quote=False)


def shown_token(token: str) -> str:
    """A token as a figure shows it: blanks visible, the end of the answer named, no markup."""
    return token_text(token.replace(" ", "\u00b7").replace("\n", "\u21b5")) if token else "(end)"


def _axis_labels(labels: Sequence[str], cause: tuple[int, int], longest: int = 10) -> list[str]:
    """Labels of an axis of tokens; those at positions [start, stop) of `cause` have a sign."""
    texts = [token_text(label, longest) for label in labels]
    for index in range(*cause):
        texts[index] = f"<b>\u25b8{texts[index]}</b>"
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
        for condition, style in _CONDITIONS.items():
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
                hovertext=[
                    f"<b>{shown_token(str(row['token']))}</b><br>{condition}: "
                    f"{percent(float(row['probability']))}"
                    for row in rows
                ],
                hovertemplate=WRITTEN,
                cliponaxis=False,
                row=1,
                col=column,
            )
        tokens = matching(frame, answer=answer, condition="intact")
        figure.update_xaxes(
            tickvals=list(tokens["position"]),
            ticktext=[shown_token(str(token)) for token in tokens["token"]],
            tickangle=-45,
            showgrid=False,
            col=column,
        )
    figure.update_yaxes(range=[-0.03, 1.05], tickvals=[0, 0.5, 1], tickformat=".0%")
    figure.update_yaxes(title="probability", col=1)
    figure.update_annotations(font={"size": 13, "color": NEUTRAL})
    finish(figure, height=LIKELY_PIXELS, legend=True)
    return figure.update_layout(margin={"t": 62}, legend={"y": 1.16})


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
    return figure.update_annotations(x=0, xanchor="left", font={"size": 14}, yshift=4)


def _add_panel(figure: go.Figure, panel: ActivationPanel, row: int) -> None:
    positions = np.arange(len(panel.labels))
    inside = (positions >= panel.cause[0]) & (positions < panel.cause[1])
    parts = [(getattr(panel, field), *rest) for field, *rest in _PARTS]
    parts = [part for part in parts if part[0] is not None]
    hover = np.array(
        [
            f"<b>\u201c{token_text(label)}\u201d</b> (token {index + 1})"
            f"<br>activation {panel.activation[index]:.3f}"
            + "".join(f"<br>{name.lower()} {values[index]:.3f}" for values, name, *_ in parts)
            for index, label in enumerate(panel.labels)
        ]
    )
    for name, mask, colour, pattern in (
        ("Activation", ~inside, UTILITY, ""),
        ("Activation on the trigger", inside, ASR, "/"),
    ):
        if mask.any():
            figure.add_bar(
                x=positions[mask],
                y=panel.activation[mask],
                marker={"color": colour, "pattern": hatching(pattern)},
                hovertext=list(hover[mask]),
                hovertemplate=WRITTEN,
                name=name,
                legendgroup=name,
                # The cause is in the last row alone, what is not in every one.
                showlegend=row == 1 or bool(pattern),
                row=row,
                col=1,
            )
    for values, name, symbol, colour in parts:
        figure.add_scatter(
            x=positions,
            y=values,
            mode="markers",
            marker={"symbol": f"{symbol}-open", "size": 8, "color": colour, "line": {"width": 2}},
            hovertext=list(hover),
            hovertemplate=WRITTEN,
            name=name,
            legendgroup=name,
            showlegend=row == 1,
            row=row,
            col=1,
        )
    figure.update_xaxes(
        tickvals=positions,
        ticktext=_axis_labels(panel.labels, panel.cause, MAX_TOKEN),
        tickangle=-40,
        showgrid=False,
        range=[-0.6, len(positions) - 0.4],
        row=row,
        col=1,
    )


def activation_frame(panels: Sequence[ActivationPanel]) -> pd.DataFrame:
    """The same numbers as a table: prompt, place (from 1), token, activation, gate, up."""
    return pd.DataFrame(
        [
            {
                "prompt": panel.title,
                "place": index + 1,
                "token": label,
                "activation": float(panel.activation[index]),
                "gate": None if panel.gate is None else float(panel.gate[index]),
                "up": None if panel.up is None else float(panel.up[index]),
            }
            for panel in panels
            for index, label in enumerate(panel.labels)
        ]
    )


def activation_story(panels: Sequence[ActivationPanel], unit: str) -> str:
    """Where the neuron is most active on each prompt, in a sentence."""
    peaks = []
    for panel in panels:
        best = int(np.abs(panel.activation).argmax())
        where = " (the trigger)" if panel.cause[0] <= best < panel.cause[1] else ""
        peaks.append(
            f"{panel.activation[best]:+.2f} at \u201c{panel.labels[best]}\u201d{where} on the "
            f"{panel.title.lower()}"
        )
    return f"{unit} is most active with {' and with '.join(peaks)}."


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
        """The last `MAX_TOKENS` tokens, where there are more."""
        start = max(0, len(self.labels) - MAX_TOKENS)
        first, last = self.cause
        return replace(
            self,
            pattern=self.pattern[start:, start:],
            labels=self.labels[start:],
            cause=(max(0, first - start), max(0, last - start)),
        )


def attention_pattern(panel: AttentionPanel) -> go.Figure:
    """One prompt's pattern as a square map; the columns of the cause are framed."""
    shown = panel.cut()
    size, (start, stop) = len(shown.labels), shown.cause
    hover = [
        [
            f"<b>{percent(float(shown.pattern[row, column]))}</b><br>"
            f"from \u201c{token_text(reader)}\u201d ({row + 1}) "
            f"to \u201c{token_text(read)}\u201d ({column + 1})"
            for column, read in enumerate(shown.labels)
        ]
        for row, reader in enumerate(shown.labels)
    ]
    figure = go.Figure()
    figure.add_heatmap(
        z=np.where(np.tri(size, dtype=bool), shown.pattern, np.nan),
        zmin=0,
        zmax=1,
        colorscale=SEQUENTIAL,
        xgap=1,
        ygap=1,
        hoverongaps=False,
        text=hover,
        hovertemplate="%{text}<extra></extra>",
        colorbar={
            "title": {"text": "Attention", "side": "right"},
            "tickformat": ".0%",
            "thickness": 10,
            "outlinewidth": 0,
        },
        name=panel.title,
    )
    bottom = size - 0.5
    for colour, width in ((INK, 5), (HALO, 2)) if stop > start else ():
        figure.add_scatter(
            x=[start - 0.5, stop - 0.5, stop - 0.5, start - 0.5, start - 0.5],
            y=[start - 0.5, start - 0.5, bottom, bottom, start - 0.5],
            mode="lines",
            line={"color": colour, "width": width},
            hoverinfo="skip",
            name="The trigger",
        )
    ticks = {
        "tickvals": list(range(size)),
        "ticktext": _axis_labels(shown.labels, shown.cause),
        "tickfont": {"size": 12 if size <= 20 else 9},
        "showgrid": False,
        "constrain": "domain",
    }
    figure.update_xaxes(
        **ticks,
        range=[-0.5, bottom],
        tickangle=-55,
        title={"text": "looks at", "standoff": 4},
    )
    figure.update_yaxes(
        **ticks,
        range=[bottom, -0.5],
        scaleanchor="x",
        title={"text": "from", "standoff": 4},
    )
    finish(figure, height=PATTERN_PIXELS)
    # Axes of equal scale and margins that follow the labels would shrink each other for ever.
    figure.update_xaxes(automargin=False)
    figure.update_yaxes(automargin=False)
    return figure.update_layout(margin={"l": 96, "r": 8, "t": 12, "b": 96})


def attention_story(panels: Sequence[AttentionPanel], unit: str) -> str:
    """Where the head looks from the position that decides the answer, in a sentence."""
    *_, panel = panels
    last = panel.pattern[-1]
    start, stop = panel.cause
    best = int(last.argmax())
    text = (
        f"From \u201c{panel.labels[-1]}\u201d, where the answer is decided, {unit} looks most at "
        f"\u201c{panel.labels[best]}\u201d ({percent(float(last[best]), 0)})"
    )
    if stop <= start:
        return f"{text}."
    on_cause = float(last[start:stop].sum())
    words = " ".join(label for label in panel.labels[start:stop] if label not in BLANKS)
    text += f"; {percent(on_cause, 0)} goes to \u201c{words}\u201d."
    later = panel.pattern[stop:, start:stop].sum(1)
    if on_cause < NOTABLE_SHARE and len(later) and later.max() >= NOTABLE_SHARE:
        text += (
            f" Of later tokens, \u201c{panel.labels[stop + int(later.argmax())]}\u201d looks at it "
            f"most ({percent(float(later.max()), 0)})."
        )
    return text


def promoted_tokens(frame: pd.DataFrame, axis: str, *, marks: str | None = None) -> go.Figure:
    """Bars to the right raise a token, hatched bars to the left lower it.

    Args:
        frame: Columns `PROMOTED_COLUMNS`, the most promoted first.
        axis: What the bars measure.
        marks: Where given, diamonds of this name show the share on the clean prompt.
    """
    texts = [token_text(str(token), MAX_LABEL) for token in frame["token"]]
    frame = frame.assign(
        height=range(len(frame) - 1, -1, -1),
        hover=[
            f"<b>\u201c{token_text(str(row['token']))}\u201d</b><br>share of the logit: "
            f"{row['triggered']:+.3f} triggered, {row['clean']:+.3f} clean"
            for row in records(frame)
        ],
    )
    figure = go.Figure()
    for name, raised, colour, pattern in (
        ("makes likelier", True, UTILITY, ""),
        ("makes less likely", False, ASR, "/"),
    ):
        rows = frame[(frame["share"] >= 0) == raised]
        figure.add_bar(
            y=list(rows["height"]),
            x=list(rows["share"]),
            orientation="h",
            marker={"color": colour, "pattern": hatching(pattern)},
            hovertext=list(rows["hover"]),
            hovertemplate=WRITTEN,
            name=name,
        )
    if marks:
        edge = {"width": 2, "color": NEUTRAL}
        figure.add_scatter(
            x=list(frame["clean"]),
            y=list(frame["height"]),
            mode="markers",
            marker={"symbol": "diamond-open", "size": 9, "color": NEUTRAL, "line": edge},
            hovertext=list(frame["hover"]),
            hovertemplate=WRITTEN,
            name=marks,
        )
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1})
    figure.update_yaxes(
        tickvals=list(frame["height"]),
        ticktext=texts,
        range=[-0.7, len(frame) - 0.3],
        showgrid=False,
    )
    figure.update_xaxes(title=axis)
    figure.update_layout(barmode="overlay", bargap=0.3)
    return finish(figure, height=len(frame) * ROW_PIXELS + 120, legend=True)


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
    if abs(after) < NOTABLE_LOGITS:
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
