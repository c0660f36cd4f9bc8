"""What a unit writes where the answer is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from circuitviz.plots.promoted_tokens import PROMOTED_COLUMNS, promoted_story, promoted_tokens
from circuitviz.runs.store import Run
from circuitviz.ui.drill.head import decided_at, panel_titles
from circuitviz.ui.elements.components import chart
from circuitviz.ui.elements.how_to_read import how_to_read
from circuitviz.ui.elements.literal import literal
from circuitviz.ui.elements.told import told
from circuitviz.ui.live import live_inspection
from circuitviz.units import Unit

if TYPE_CHECKING:
    from circuitviz.inspection.promoted import Written

__all__ = ["promoted_frame", "what_it_writes"]


def what_it_writes(run: Run, prompt: str, unit: Unit) -> None:
    """The tokens a unit promotes and suppresses, as a chart, a sentence and a table.

    Raises:
        CircuitvizError: The model cannot be used.
    """
    with st.spinner("Reading what this unit writes\u2026"):
        pair = live_inspection.pair(run, prompt)
        found = live_inspection.writing(run, prompt, unit)
    clean, triggered = (title.split()[0].lower() for title in panel_titles(run))
    sentence = promoted_story(
        str(unit), pair.target_label, pair.other_label, found.towards, (clean, triggered)
    )
    told(sentence)
    axis = (
        "Share of the logit at activation 1"
        if found.by_direction
        else f"Share of the logit, {triggered} prompt"
    )
    chart(
        promoted_tokens(
            promoted_frame(found),
            axis,
            marks=None if found.by_direction else f"{clean} prompt",
        ),
        key="drill_writing",
        caption=f"Direct logit attribution of {unit} in the intact model on one test prompt, "
        f"{literal(prompt)}, less its mean over all tokens. {decided_at(pair)}",
        alt=f"{sentence} Bars to the right raise a token, bars to the left lower it.",
        twin=promoted_frame(found),
    )
    what = (
        "A neuron writes one direction, times its activation: the bars are that direction, and "
        "the table has what comes of it on either prompt. Where the activation is below 0, what "
        "is promoted here is suppressed."
        if found.by_direction
        else "The bars are what the head writes at the last token; diamonds are the same on the "
        f"{clean} prompt."
    )
    capped = (
        f" This model caps its logits at \u00b1{found.cap:g}; shares are of the logits before that."
        if found.cap
        else ""
    )
    how_to_read(
        f"{what} This is an approximation: the final norm is held at the scale it has here, and "
        f"what later layers make of the write is left out.{capped} A unit that works through "
        "others shows little here and much in *Alone and together*.",
        key="drill_writing",
    )


def promoted_frame(found: Written) -> pd.DataFrame:
    """Promoted tokens, then suppressed ones, from the top of the chart to its bottom."""
    tokens = [*found.promoted, *reversed(found.suppressed)]
    rows = [
        {
            "token": token.token,
            "share": token.triggered if token.direction is None else token.direction,
            "clean": token.clean,
            "triggered": token.triggered,
        }
        for token in tokens
    ]
    return pd.DataFrame(rows, columns=list(PROMOTED_COLUMNS))
