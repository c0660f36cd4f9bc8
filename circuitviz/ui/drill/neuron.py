"""When a neuron is active, token by token and over many prompts."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import streamlit as st

from circuitviz.plots.catalogue import Chart
from circuitviz.plots.token_charts import (
    ActivationPanel,
    activation_frame_rows,
    activation_story,
    token_activation,
)
from circuitviz.runs.store import Run
from circuitviz.ui.drill.cover import DrillCover
from circuitviz.ui.drill.head import decided_at, panel_titles
from circuitviz.ui.elements.components import draw_chart
from circuitviz.ui.elements.table import table
from circuitviz.ui.elements.words import how_to_read, literal, told
from circuitviz.ui.live import live_inspection
from circuitviz.units import Unit


def when_it_is_active(run: Run, prompt: str, unit: Unit, cover: DrillCover) -> None:
    """The neuron over both prompts, with its gate and up parts.

    Raises:
        CircuitvizError: The model cannot be used.
    """
    with st.spinner("Watching this neuron\u2026"):
        pair = cover.pair(live_inspection.pair(run, prompt))
        found = live_inspection.traces(run, prompt, unit)
    causes = ((0, 0), pair.cause)
    panels = [
        ActivationPanel(title, row.labels, trace.activation, trace.gate, trace.up, cause)
        for title, row, trace, cause in zip(
            panel_titles(run), (pair.clean, pair.triggered), found, causes, strict=True
        )
    ]
    sentence = activation_story(panels, str(unit))
    told(sentence)
    gated = panels[0].up is not None
    parts = ", with its gate part (before the activation function) and up part" if gated else ""
    activation = Chart(
        token_activation(panels),
        f"{unit} in the intact model over the tokens of one test prompt, "
        f"{literal(prompt)}{parts}. {decided_at(pair)}",
        sentence,
        pd.DataFrame(activation_frame_rows(panels)),
    )
    draw_chart(activation, key="drill_activation")
    how_to_read(
        "A bar is what the neuron does at one token: what it writes there is this number times "
        "its output direction, so the sign matters. Hatched bars and \u25b8 mark what only the "
        "second prompt has."
        + (
            " In a gated MLP the activation is act(gate) \u00d7 up: the neuron is silent where "
            "either part is near 0."
            if gated
            else ""
        ),
        key="drill_activation",
    )


def what_activates_it(run: Run, unit: Unit, cover: DrillCover) -> None:
    """The test prompts on which the neuron is most active.

    Raises:
        CircuitvizError: The model cannot be used.
    """
    with st.spinner("Looking through test prompts\u2026"):
        found = [cover.top(prompt) for prompt in live_inspection.top(run, unit)]
    told(top_story(str(unit), [prompt.kind for prompt in found]))
    table(
        pd.DataFrame(
            [
                {
                    "prompt": prompt.text,
                    "kind": prompt.kind,
                    "activation": f"{prompt.activation:+.3f}",
                    "at token": f"\u201c{prompt.token}\u201d",
                }
                for prompt in found
            ]
        ),
        key="drill_top_prompts",
    )
    kinds = "harmful and benign" if run.metrics.is_refusal else "triggered, clean and benign"
    st.caption(
        f"The largest activations in size among up to 48 test prompts of each role ({kinds}), in "
        "the intact model. Tokens with which every prompt begins are left aside."
    )


def top_story(unit: str, kinds: list[str]) -> str:
    """Which kind of prompts activates the neuron most, in a sentence."""
    counts = sorted(Counter(kinds).items(), key=lambda item: -item[1])
    listed = [f"{number} {kind}" for kind, number in counts]
    named = listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
    return f"The {len(kinds)} prompts that make {unit} most active: {named}."
