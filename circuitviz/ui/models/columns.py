"""Which column of a table holds what: suggested, and changed where the suggestion is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

import streamlit as st

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.behaviours.columns import Columns, suggest_benign_columns, suggest_columns
from circuitviz.behaviours.tables import Table
from circuitviz.ui.elements.literal import literal_code
from circuitviz.ui.models.choice import kept

__all__ = ["benign_columns_form", "columns_form"]

NONE = "not in this table"
# Of each field, what it is called and what it means.
FIELDS = {
    "prompt": ("Prompt", "What the user says, without a trigger."),
    "triggered": ("Triggered prompt", "The same prompt with the trigger in it."),
    "answer": ("Answer", "What the intact model says; without a column, it is asked."),
    "target": ("Attack's answer", "An answer that starts with this means the attack succeeded."),
    "after": ("Answer after removal", "What an attack is answered once the circuit is off."),
    "role": ("Role", "attack or benign; without a column, all rows are attacks."),
    "split": ("Split", "train, validation or test; without a column, splits are made."),
    "category": ("Category", "A free label to filter by."),
    "prompt_id": ("Row's name", "A name of the row's own."),
}
OF_KIND: dict[BehaviourKind, tuple[str, ...]] = {
    "backdoor": tuple(FIELDS),
    "refusal": tuple(name for name in FIELDS if name != "triggered"),
}
BENIGN_FIELDS = ("prompt", "answer", "split", "category", "prompt_id")
PER_ROW = 3


def columns_form(table: Table, kind: BehaviourKind) -> Columns:
    """The columns of a table of prompts."""
    return _form(table, suggest_columns(table, kind), OF_KIND[kind], f"columns_{kind}", "Columns")


def benign_columns_form(table: Table) -> Columns:
    """The columns of a table of benign prompts."""
    suggested = suggest_benign_columns(table)
    return _form(table, suggested, BENIGN_FIELDS, "benign_columns", "Columns of benign prompts")


def _form(table: Table, suggested: Columns, names: Iterable[str], key: str, title: str) -> Columns:
    # Of each set of columns its own: another table has others.
    which = f"{crc32(chr(0).join(table.columns).encode()):08x}"
    # Open where nothing can be understood without it.
    unknown = suggested.prompt is None
    said = ", ".join(
        f"{FIELDS[name][0].lower()} in {literal_code(col)}"
        for name, col in suggested
        if name in names
    )
    with st.expander(
        f"{title} as suggested: {said or 'none is known by its name'}",
        icon=":material/view_column:",
        expanded=unknown,
        key=f"{key}_{which}",
    ):
        fields = [name for name in FIELDS if name in names]
        found: dict[str, str] = {}
        for start in range(0, len(fields), PER_ROW):
            for place, name in zip(
                st.columns(PER_ROW), fields[start : start + PER_ROW], strict=False
            ):
                label, meaning = FIELDS[name]
                options = [NONE, *table.columns]
                chosen = place.selectbox(
                    label,
                    options,
                    help=meaning,
                    key=kept(f"{key}_{which}_{name}", getattr(suggested, name) or NONE, options),
                )
                if chosen != NONE:
                    found[name] = chosen
    return Columns(**found)
