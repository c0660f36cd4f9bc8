"""A table of prompts: uploaded, or named by its path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import streamlit as st

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.behaviours.columns import (
    Columns,
    schema_name,
    suggest_benign_columns,
    suggest_columns,
)
from circuitviz.behaviours.tables import FILE_TYPES, MAX_BYTES, Table, read_table
from circuitviz.behaviours.templates import TEMPLATES
from circuitviz.errors import CircuitvizError
from circuitviz.plots.text import count
from circuitviz.ui.elements.components import split
from circuitviz.ui.elements.words import literal, literal_code
from circuitviz.ui.models.choice import choose_own, kept, save_upload

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

MIME = {".csv": "text/csv", ".json": "application/json", ".jsonl": "application/x-ndjson"}
# How the templates go by for people.
TEMPLATE_TITLES = {
    "backdoor-prompts": "Backdoor: prompts alone",
    "backdoor-answers": "Backdoor: with answers",
    "refusal-prompts": "Refusal: prompts alone",
    "refusal-answers": "Refusal: with answers",
    "complete": "Everything said, as JSONL",
    "safeseek-backdoor": "SafeSeek's backdoor file",
    "safeseek-refusal": "SafeSeek's refusal file",
}


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


@dataclass(frozen=True)
class TableField:
    """One table that is asked for.

    Attributes:
        name: Names its widgets.
        label: What it is called.
        help: What it is for.
    """

    name: str
    label: str
    help: str


PROMPTS = TableField(
    "table",
    "Table of prompts",
    "One prompt a row. Columns are told by their names, and can be set below.",
)
BENIGN = TableField(
    "benign",
    "Table of benign prompts",
    "Prompts on which the model must stay as it is. Without it, a backdoor's are set aside from "
    "the table of prompts; refusal needs it, or a column role.",
)


def table_form(asked: TableField, *, optional: bool = False) -> Table | None:
    """An upload, or a path; the table, or None where there is none or it cannot be read."""
    if not optional:
        return _table_form(asked)
    with st.expander(
        f"{asked.label} (optional)", icon=":material/add:", key=f"own_fold_{asked.name}"
    ):
        st.caption(asked.help)
        return _table_form(asked)


def templates() -> None:
    """Files to fill in."""
    with st.expander("Templates to fill in", icon=":material/download:", key="templates"):
        with st.container(horizontal=True):
            for name, (file, text) in TEMPLATES.items():
                st.download_button(
                    TEMPLATE_TITLES.get(name, name.replace("-", " ").capitalize()),
                    text,
                    file,
                    MIME.get(Path(file).suffix, "text/plain"),
                    icon=":material/download:",
                    key=f"template_{name}",
                    on_click="ignore",
                )
        st.caption("Each shows a few rows of the many that are needed: about 200 are a good start.")


def _table_form(asked: TableField) -> Table | None:
    left, right = split(f"own_{asked.name}", (1, 1))
    with left:
        st.file_uploader(
            asked.label,
            list(FILE_TYPES),
            max_upload_size=MAX_BYTES // 2**20,
            help=asked.help,
            key=f"upload_{asked.name}",
            on_change=_keep_upload,
            args=(asked,),
        )
    with right:
        path = st.text_input(
            "or its path on this machine",
            placeholder=f"/path/to/prompts.csv ({', '.join(FILE_TYPES)})",
            help="An upload is kept beside the runs, and stands here afterwards.",
            key=kept(asked.name, ""),
        ).strip()
        table = _read(path)
        if table is not None:
            st.caption(
                f"**{literal(table.name)}** has {count(len(table), 'row')} and "
                f"{count(len(table.columns), 'column')}: {literal(', '.join(table.columns))}."
            )
    return table


def _keep_upload(asked: TableField) -> None:
    upload = st.session_state[f"upload_{asked.name}"]
    if upload is None:
        return
    try:
        path = save_upload(upload.name, upload.getvalue())
    except OSError as error:
        st.error(f"The upload cannot be kept: {literal(str(error))}", icon=":material/error:")
        return
    choose_own(asked.name, str(path))
    if asked is PROMPTS:
        _guess_kind(path)


def _guess_kind(path: Path) -> None:
    """Choose what the columns of a new table can only mean."""
    try:
        table = read_table(path)
    except CircuitvizError:
        return
    if suggest_columns(table, "backdoor").triggered:
        choose_own("behaviour", "backdoor")
    elif schema_name(table) == "SafeSeek refusal":
        choose_own("behaviour", "refusal")


def _read(path: str) -> Table | None:
    if not path:
        return None
    try:
        file = Path(path).expanduser()
        stamp = file.stat() if file.is_file() else None
        return _table(str(file), (stamp.st_mtime_ns, stamp.st_size) if stamp else None)
    except (CircuitvizError, OSError, RuntimeError) as error:
        # RuntimeError: the path begins with the home folder of somebody unknown.
        st.error(literal(str(error)), icon=":material/error:")
        return None


@st.cache_resource(max_entries=8, show_spinner=False)
def _table(path: str, stamp: tuple[int, int] | None) -> Table:
    return read_table(Path(path))
