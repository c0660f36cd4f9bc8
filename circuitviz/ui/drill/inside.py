"""Inside one unit: where a head looks, when a neuron is active, and what either writes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from circuitviz.narrative.phrases import phrases
from circuitviz.plots.catalogue import Chart
from circuitviz.plots.tokens import (
    MAX_TOKENS,
    PROMOTED_COLUMNS,
    ActivationPanel,
    AttentionPanel,
    activation_frame,
    activation_story,
    attention_pattern,
    attention_story,
    promoted_story,
    promoted_tokens,
    token_activation,
)
from circuitviz.runs.store import Run
from circuitviz.ui.elements.components import draw_chart, split, table, table_twin
from circuitviz.ui.elements.redaction import PromptRedactor
from circuitviz.ui.elements.words import how_to_read, literal, statement
from circuitviz.ui.live import live_questions
from circuitviz.units import Unit

if TYPE_CHECKING:
    from circuitviz.inspection.promoted import Written
    from circuitviz.inspection.prompt_pair import PromptPair


def where_it_looks(run: Run, prompt: str, unit: Unit, redactor: PromptRedactor) -> None:
    """The head's attention pattern on both prompts, as charts, a sentence and a table.

    Raises:
        CircuitvizError: The model cannot be used.
    """
    with st.spinner("Looking where this head looks\u2026"):
        pair = redactor.pair(live_questions.pair(run, prompt))
        attention = live_questions.attention(run, prompt, unit)
    clean, triggered = phrases(run).pair
    panels = [
        AttentionPanel(clean, pair.clean.text, attention.clean, pair.clean.labels),
        AttentionPanel(
            triggered, pair.triggered.text, attention.triggered, pair.triggered.labels, pair.cause
        ),
    ]
    sentence = attention_story(panels, str(unit))
    statement(sentence)
    longest = max(len(panel.labels) for panel in panels)
    cut = f" The last {MAX_TOKENS} of {longest} tokens are shown." if longest > MAX_TOKENS else ""
    for place, (column, panel) in enumerate(zip(split("attention", (1, 1)), panels, strict=True)):
        with column:
            st.markdown(f"**{panel.title}**")
            pattern = Chart(
                attention_pattern(panel),
                caption=f"\u201c{literal(panel.text)}\u201d",
                alt=f"Attention of {unit} on the {panel.title.lower()}: rows are the tokens that "
                "look, columns the tokens looked at.",
            )
            draw_chart(pattern, key=("drill_attention_clean", "drill_attention")[place])
    st.caption(
        f"Attention of {unit} in the intact model on one test prompt, {literal(prompt)}. "
        f"{decided_at(pair)}{cut}"
    )
    table_twin(
        _twin(panels),
        key="drill_attention_table",
        columns={"attention": st.column_config.NumberColumn(format="percent")},
    )
    how_to_read(
        "Each row is a token, and its squares say how much of the head's attention goes to each "
        "token before it; a row adds up to 100 %. The last row is where the answer is decided. "
        "The frame, and a \u25b8 before a token, mark what only the second prompt has. Attention "
        "says where a head reads, not what it makes of it: for that see *What it writes*.",
        key="drill_attention",
    )


def decided_at(pair: PromptPair) -> str:
    """Which tokens the next one decides between, in a sentence of Markdown."""
    return (
        f"The token after the last one decides: \u201c{literal(pair.target_label)}\u201d is the "
        f"behaviour's, \u201c{literal(pair.other_label)}\u201d the one expected without it."
    )


def _twin(panels: list[AttentionPanel]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "prompt": panel.title,
                "from": f"{row + 1} {panel.labels[row]}",
                "looks at": f"{column + 1} {panel.labels[column]}",
                "attention": float(panel.pattern[row, column]),
            }
            for panel in panels
            for row in range(len(panel.labels) - 1, -1, -1)
            for column in range(row + 1)
        ]
    )


def when_it_is_active(run: Run, prompt: str, unit: Unit, redactor: PromptRedactor) -> None:
    """The neuron over both prompts, with its gate and up parts.

    Raises:
        CircuitvizError: The model cannot be used.
    """
    with st.spinner("Watching this neuron\u2026"):
        pair = redactor.pair(live_questions.pair(run, prompt))
        traces = live_questions.traces(run, prompt, unit)
    causes = ((0, 0), pair.cause)
    panels = [
        ActivationPanel(title, row.labels, trace.activation, trace.gate, trace.up, cause)
        for title, row, trace, cause in zip(
            phrases(run).pair, (pair.clean, pair.triggered), traces, causes, strict=True
        )
    ]
    sentence = activation_story(panels, str(unit))
    statement(sentence)
    gated = panels[0].up is not None
    parts = ", with its gate part (before the activation function) and up part" if gated else ""
    activation = Chart(
        token_activation(panels),
        caption=f"{unit} in the intact model over the tokens of one test prompt, "
        f"{literal(prompt)}{parts}. {decided_at(pair)}",
        alt=sentence,
        twin=activation_frame(panels),
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


def what_activates_it(run: Run, unit: Unit, redactor: PromptRedactor) -> None:
    """The test prompts on which the neuron is most active.

    Raises:
        CircuitvizError: The model cannot be used.
    """
    with st.spinner("Looking through test prompts\u2026"):
        prompts = [redactor.top(prompt) for prompt in live_questions.top(run, unit)]
    statement(top_story(str(unit), [prompt.kind for prompt in prompts]))
    table(
        pd.DataFrame(
            [
                {
                    "prompt": prompt.text,
                    "kind": prompt.kind,
                    "activation": f"{prompt.activation:+.3f}",
                    "at token": f"\u201c{prompt.token}\u201d",
                }
                for prompt in prompts
            ]
        ),
        key="drill_top_prompts",
    )
    st.caption(
        "The largest activations in size among up to 48 test prompts of each role "
        f"({phrases(run).roles}), in the intact model. Tokens with which every prompt begins are "
        "left aside."
    )


def top_story(unit: str, kinds: list[str]) -> str:
    """Which kind of prompts activates the neuron most, in a sentence."""
    counts = sorted(Counter(kinds).items(), key=lambda item: -item[1])
    listed = [f"{number} {kind}" for kind, number in counts]
    named = listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
    return f"The {len(kinds)} prompts that make {unit} most active: {named}."


def what_it_writes(run: Run, prompt: str, unit: Unit) -> None:
    """The tokens a unit promotes and suppresses, as a chart, a sentence and a table.

    Raises:
        CircuitvizError: The model cannot be used.
    """
    with st.spinner("Reading what this unit writes\u2026"):
        pair = live_questions.pair(run, prompt)
        written = live_questions.writing(run, prompt, unit)
    clean, triggered = (title.split()[0].lower() for title in phrases(run).pair)
    sentence = promoted_story(
        str(unit), pair.target_label, pair.other_label, written.towards, (clean, triggered)
    )
    statement(sentence)
    axis = (
        "Share of the logit at activation 1"
        if written.by_direction
        else f"Share of the logit, {triggered} prompt"
    )
    tokens, marks = promoted_frame(written), None if written.by_direction else f"{clean} prompt"
    writing = Chart(
        promoted_tokens(tokens, axis, marks=marks),
        caption=f"Direct logit attribution of {unit} in the intact model on one test prompt, "
        f"{literal(prompt)}, less its mean over all tokens. {decided_at(pair)}",
        alt=f"{sentence} Bars to the right raise a token, bars to the left lower it.",
        twin=tokens,
    )
    draw_chart(writing, key="drill_writing")
    what = (
        "A neuron writes one direction, times its activation: the bars are that direction, and "
        "the table has what comes of it on either prompt. Where the activation is below 0, what "
        "is promoted here is suppressed."
        if written.by_direction
        else "The bars are what the head writes at the last token; diamonds are the same on the "
        f"{clean} prompt."
    )
    capped = (
        f" This model caps its logits at \u00b1{written.cap:g}; shares are of the logits before "
        "that."
        if written.cap
        else ""
    )
    how_to_read(
        f"{what} This is an approximation: the final norm is held at the scale it has here, and "
        f"what later layers make of the write is left out.{capped} A unit that works through "
        "others shows little here and much in *Alone and together*.",
        key="drill_writing",
    )


def promoted_frame(written: Written) -> pd.DataFrame:
    """Promoted tokens, then suppressed ones, from the top of the chart to its bottom."""
    tokens = [*written.promoted, *reversed(written.suppressed)]
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
