"""All test prompts with the answers of both models: filters, table, download."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from circuitviz.narrative.numbers import shortened
from circuitviz.runs.store import Run
from circuitviz.tables.rows import records
from circuitviz.ui import state
from circuitviz.ui.elements.answers import verdict_word
from circuitviz.ui.elements.components import download, selectable_table
from circuitviz.ui.elements.keys import listing_key
from circuitviz.ui.elements.redaction import redacted

TABLE, PICKED = "answers_table", "answer_picked"
CHANGES = {"All": None, "Changed": True, "Unchanged": False}
_ROLES = {"All": None, "Attack": "attack", "Benign": "benign"}
# Characters of a cell.
CELL = 160
_SHOWN = ["kind", "verdicts", "prompt", "intact", "knocked_out"]


@st.fragment
def answer_table(run: Run, answers: pd.DataFrame, *, shown: bool) -> None:
    """Every answer with its verdict, changed verdicts first; a filter draws nothing else again.

    Args:
        run: Whose answers they are.
        answers: Columns of `generation_frame`.
        shown: Whether text that could be harmful may be read.
    """
    # The comparison above is about the row that was picked just now.
    if st.session_state.pop(PICKED, False):
        st.rerun(scope="app")
    kept = redacted(run, _filtered(run, answers), shown=shown)
    with st.container(key="answer_count"):
        st.caption(
            f"{len(kept):,} of {len(answers):,} answers \u00b7 changed verdicts first \u00b7 "
            "select a row to compare it above"
        )

    def pick(row: int) -> None:
        state.choose(prompt=str(kept.iloc[row]["prompt_id"]))
        st.session_state[PICKED] = True

    selectable_table(
        table_rows(kept),
        pick,
        # A row that was selected in one list of answers must select nothing in another.
        key=listing_key(TABLE, [run.run_id, *map(str, kept["prompt_id"])]),
        height=420,
        # Narrow enough that every column is seen on a narrow page; wide ones grow.
        column_config={
            "kind": st.column_config.TextColumn("prompt is", width=75),
            "verdicts": st.column_config.TextColumn("verdict", width=105),
            "prompt": st.column_config.TextColumn(width=100),
            "intact": st.column_config.TextColumn("intact answer", width=100),
            "knocked_out": st.column_config.TextColumn("knocked-out answer", width=100),
        },
    )
    download(
        "Download these rows as CSV",
        lambda: kept.to_csv(index=False).encode(),
        f"{run.run_id}-answers.csv",
        "text/csv",
        key="download_answers",
    )


def table_rows(answers: pd.DataFrame) -> pd.DataFrame:
    """The columns of the table: what was asked, both verdicts in one, and both answers.

    Text is cut to what a cell shows: hundreds of long answers would be megabytes on the way.
    """
    # Without a trigger the variant says nothing.
    triggered = bool((answers["variant"] == "triggered").any())
    rows = [
        {
            "kind": row["variant"] if triggered and row["role"] == "attack" else row["role"],
            "verdicts": verdict_change(row["verdict_intact"], row["verdict_knocked_out"]),
            **{
                name: shortened(str(row[name]), CELL)
                for name in ("prompt", "intact", "knocked_out")
            },
        }
        for row in records(answers)
    ]
    return pd.DataFrame(rows, columns=_SHOWN)


def verdict_change(before: str, after: str) -> str:
    """Both verdicts in one: `success → safe`, or `safe` where nothing changed."""
    before, after = verdict_word(before), verdict_word(after)
    return before if before == after else f"{before} \u2192 {after}"


def verdict_counts(answers: pd.DataFrame) -> dict[str, int]:
    """How many answers each change of verdict has, changes first, then the most frequent."""
    counts: dict[str, int] = {}
    for row in records(answers):
        name = verdict_change(row["verdict_intact"], row["verdict_knocked_out"])
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: ("\u2192" not in item[0], -item[1])))


def _filtered(run: Run, answers: pd.DataFrame) -> pd.DataFrame:
    counts = verdict_counts(answers)
    with st.container(horizontal=True, vertical_alignment="bottom", key="answer_filters"):
        change = st.segmented_control("Changes", list(CHANGES), default="All", required=True)
        role = st.segmented_control("Prompts", list(_ROLES), default="All", required=True)
        verdicts = st.multiselect(
            "Verdict",
            list(counts),
            placeholder="any",
            key=listing_key("verdict_filter", [run.run_id, *counts]),
            format_func=lambda name: f"{name} ({counts[name]:,})",
        )
        categories = st.multiselect(
            "Category", sorted(answers["category"].astype(str).unique()), placeholder="any"
        )
        text = st.text_input("Contains", placeholder="any text", icon=":material/search:")
    return filter_answers(
        answers, CHANGES[str(change)], _ROLES[str(role)], categories, text, verdicts
    )


def filter_answers(
    answers: pd.DataFrame,
    changed: bool | None = None,
    role: str | None = None,
    categories: Sequence[str] = (),
    text: str = "",
    verdicts: Sequence[str] = (),
) -> pd.DataFrame:
    """The rows that match every filter that is set; text is looked for in prompt and answers."""
    keep = pd.Series(True, index=answers.index)
    if changed is not None:
        keep &= answers["changed"] == changed
    if role is not None:
        keep &= answers["role"] == role
    if categories:
        keep &= answers["category"].isin(list(categories))
    if verdicts:
        pairs = zip(answers["verdict_intact"], answers["verdict_knocked_out"], strict=True)
        matches = [verdict_change(*pair) in verdicts for pair in pairs]
        keep &= pd.Series(matches, index=answers.index)
    if text.strip():
        columns = ["prompt", "intact", "knocked_out", "prompt_id"]
        hits = [
            answers[name].astype(str).str.contains(text.strip(), case=False, regex=False)
            for name in columns
        ]
        keep &= pd.concat(hits, axis=1).any(axis=1)
    return answers.loc[keep].reset_index(drop=True)
