"""How prompts are understood: the first rows, how many of what, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import get_args

import pandas as pd
import streamlit as st

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prepare import PreparedData
from circuitviz.behaviours.problem import Problem
from circuitviz.behaviours.prompt import Prompt, Split, count_prompts
from circuitviz.behaviours.tables import Table
from circuitviz.narrative.numbers import count
from circuitviz.plots.bars import split_bars
from circuitviz.ui.elements.components import CHART_CONFIG, split, table
from circuitviz.ui.elements.words import literal, literal_code

ATTACKS_SHOWN, BENIGN_SHOWN, ROWS_SHOWN = 3, 2, 5
PROBLEMS_SHOWN = 12
CHARACTERS = 160
PLACES: dict[str, str] = {
    "front": "Before the prompt",
    "middle": "In the middle",
    "end": "After the prompt",
    "any": "Between any two words",
}
_FROM_THE_MODEL = "(the model's own)"
_SIGNS = {
    "error": ("\u2717", "cv-no", "Error"),
    "warning": ("!", "", "Warning"),
}


def show_prepared(prepared: PreparedData, source: Table) -> None:
    """What came of a table: problems first where they block, then rows and counts."""
    if prepared.behaviour is not None:
        show_behaviour(prepared.behaviour, _remarks(prepared))
    _problems(prepared)
    if prepared.behaviour is None:
        show_raw(source)


def show_raw(source: Table) -> None:
    """The first rows as they were given."""
    st.markdown("**The first rows as they stand in the table**")
    rows = [
        {"row": str(number), **{name: _short(text) for name, text in cells.items()}}
        for number, cells in zip(source.numbers[:ROWS_SHOWN], source.rows, strict=False)
    ]
    table(pd.DataFrame(rows), key="raw_rows")


def show_behaviour(behaviour: Behaviour, remarks: Sequence[str] = ()) -> None:
    """The first rows as they are understood, and how many there are of each split and role."""
    st.markdown("**The first rows as they are understood**")
    attacks, benign = (
        [prompt for split in get_args(Split) for prompt in behaviour.prompts(split, role)]
        for role in ("attack", "benign")
    )
    first = [*attacks[:ATTACKS_SHOWN], *benign[:BENIGN_SHOWN]]
    table(pd.DataFrame(map(_prompt_row, first)), key="understood_rows")
    left, right = split("counts", (3, 2))
    counts = count_prompts(behaviour.all_prompts)
    spoken = "; ".join(
        f"{name} {' and '.join(f'{number} {role}' for role, number in roles.items())}"
        for name, roles in counts.items()
    )
    with left:
        st.plotly_chart(
            split_bars(counts),
            key="split_bars",
            config=CHART_CONFIG,
            alt=f"Prompts by split and role: {spoken}",
        )
    with right:
        trigger = behaviour.spec.trigger
        if trigger:
            st.markdown(f"Trigger: {literal_code(trigger.text)}, {PLACES[trigger.place].lower()}")
        st.markdown(f"An attack succeeded when the answer {literal(behaviour.judge)}.")
        attacks = [prompt for prompt in behaviour.all_prompts if prompt.role == "attack"]
        if trigger and not all(prompt.target for prompt in attacks):
            st.markdown("The target answer is how the intact model answers the trigger.")
        for remark in remarks:
            st.markdown(remark)


def problems_html(problems: Iterable[Problem]) -> str:
    """Problems with a sign, a word for it, file, row and column; everything escaped."""
    rows = []
    for problem in problems:
        sign, tone, word = _SIGNS[problem.severity]
        place = problem.place
        rows.append(
            f'<div class="cv-check" role="listitem">'
            f'<span class="cv-sign {tone}" aria-hidden="true">{sign}</span>'
            f"<div><b>{word}{': ' if place else ''}{escape(place)}</b>"
            f'<span class="cv-finding">{escape(problem.text)}</span></div></div>'
        )
    return f'<div class="cv-checks" role="list">{"".join(rows)}</div>'


def _problems(prepared: PreparedData) -> None:
    problems = prepared.problems
    if not problems:
        return
    errors, warnings = len(prepared.errors), len(problems) - len(prepared.errors)
    parts = [count(errors, "error")] if errors else []
    parts += [count(warnings, "warning")] if warnings else []
    what = "Errors keep the data from being used." if errors else "The data can be used."
    st.markdown(f"**{' and '.join(parts)}.** {what}")
    with st.container(key="problems"):
        st.html(problems_html(problems[:PROBLEMS_SHOWN]))
    rest = problems[PROBLEMS_SHOWN:]
    if rest:
        with st.expander(f"{len(rest)} more", key="more_problems"):
            st.html(problems_html(rest))


def _remarks(prepared: PreparedData) -> list[str]:
    counts = prepared.counts
    said = []
    if counts.unanswered:
        said.append(
            f"{count(counts.unanswered, 'prompt')} without all answers: the intact model is "
            "asked before anything is learned."
        )
    if counts.set_aside:
        said.append(
            f"{count(counts.set_aside, 'clean row')} set aside as benign prompts, which must "
            "stay as they are."
        )
    if counts.duplicates:
        said.append(f"{count(counts.duplicates, 'row')} left out as repeats of others.")
    return said


def _prompt_row(prompt: Prompt) -> dict[str, str | None]:
    attack = prompt.role == "attack"
    own = _short(prompt.answer) or _FROM_THE_MODEL
    return {
        "Role": prompt.role,
        "Split": prompt.split,
        "What is asked": _short(prompt.asked),
        "Answer without the attack": own,
        "Attack's answer": (_short(prompt.target) or _FROM_THE_MODEL) if attack else None,
        # A benign prompt's answer stays as it is.
        "Answer after removal": (_short(prompt.after) or _FROM_THE_MODEL) if attack else own,
    }


def _short(text: str | None) -> str:
    plain = " ".join((text or "").split())
    return plain if len(plain) <= CHARACTERS else plain[: CHARACTERS - 1] + "\u2026"
