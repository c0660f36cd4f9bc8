"""Text that could be harmful stays covered until somebody asks for it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from circuitviz.plots.text import Row, records
from circuitviz.report.covering import could_harm, hides_answer
from circuitviz.runs.store import Run

COVERED_REQUEST = "(a harmful request, covered)"
COVERED_ANSWER = "(an answer to a harmful request, covered)"
UNCOVERED = "harmful_text_shown"


def covers(run: Run) -> bool:
    """Whether a run's prompts ask for harmful things."""
    columns = ["role", "category", "expected"]
    kinds = run.generations.drop_duplicates(subset=columns)
    return any(could_harm(run, row) for row in records(kinds))


def uncover_toggle(run: Run, key: str = UNCOVERED) -> bool:
    """The switch that shows covered text, where a run has any; whether it may be shown."""
    if not covers(run):
        return True
    return st.toggle(
        "Show harmful requests and the answers to them",
        key=key,
        persist_state="session",
        help="Some prompts ask for harmful things. They, and answers that do not refuse, stay "
        "covered until you ask for them.",
    )


def covered(run: Run, answers: pd.DataFrame, *, shown: bool) -> pd.DataFrame:
    """Saved answers with harmful requests, and answers that do not refuse them, covered."""
    if shown or answers.empty:
        return answers
    rows = [cover(run, row) for row in records(answers)]
    return pd.DataFrame(rows, columns=list(answers.columns))


def telling(run: Run, answers: pd.DataFrame) -> Row:
    """The answer to open with: of the kind that comes first, one that anybody may read if any is.

    Args:
        run: Whose answers they are.
        answers: At least one row, columns of `generation_frame`.
    """
    rows = records(answers)
    first = rows[0]
    alike = (row for row in rows if all(row[name] == first[name] for name in ("changed", "role")))
    return next((row for row in alike if not could_harm(run, row)), first)


def cover(run: Run, row: Row) -> Row:
    """One row of saved answers, covered where it could do harm; refusals can be read by anyone."""
    if not could_harm(run, row):
        return row
    said = {
        model: COVERED_ANSWER
        for model in ("intact", "knocked_out")
        if hides_answer(run, row, model)
    }
    return {**row, "prompt": COVERED_REQUEST, **said}
