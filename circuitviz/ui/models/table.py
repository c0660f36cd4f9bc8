"""A table of prompts: uploaded or named by its path, and what its columns mean."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import streamlit as st

from circuitviz.behaviours.columns import (
    Columns,
    schema_name,
    suggest_columns,
)
from circuitviz.behaviours.tables import FILE_TYPES, MAX_BYTES, TEMPLATES, Table, read_table
from circuitviz.errors import CircuitvizError
from circuitviz.narrative.numbers import count
from circuitviz.ui.elements.components import download, error, split
from circuitviz.ui.elements.words import literal, literal_code
from circuitviz.ui.models.choice import choose_own, kept, save_upload

NONE = "not in this table"
# Of each field, what it is called and what it means.
ROW_FIELDS: dict[str, tuple[str, str]] = {
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
PER_ROW = 3

# Of each table that is asked for, what it is called and what it is for.
TABLES = {
    "table": (
        "Table of prompts",
        "One prompt a row. Columns are told by their names, and can be set below.",
    ),
    "benign": (
        "Table of benign prompts",
        "Prompts on which the model must stay as it is. Without it, a backdoor's are set aside "
        "from the table of prompts; refusal needs it, or a column role.",
    ),
}
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


def columns_form(
    table: Table, suggested: Columns, names: Iterable[str], key: str, title: str = "Columns"
) -> Columns:
    """What the columns of a table mean.

    Args:
        table: The table.
        suggested: What its columns are taken for until another is chosen.
        names: The fields, of `ROW_FIELDS`, that can be chosen.
        key: Names the widgets.
        title: What the columns are called.
    """
    # Of each set of columns its own: another table has others.
    which = f"{crc32(chr(0).join(table.columns).encode()):08x}"
    fields = [name for name in ROW_FIELDS if name in names]
    known = ", ".join(
        f"{ROW_FIELDS[name][0].lower()} in {literal_code(column)}"
        for name, column in suggested.items()
        if name in fields
    )
    options, chosen = [NONE, *table.columns], {}
    with st.expander(
        f"{title} as suggested: {known or 'none is known by its name'}",
        icon=":material/view_column:",
        # Open where nothing can be understood without it.
        expanded="prompt" not in suggested,
        key=f"{key}_{which}",
    ):
        for start in range(0, len(fields), PER_ROW):
            row = fields[start : start + PER_ROW]
            for place, name in zip(st.columns(PER_ROW), row, strict=False):
                label, meaning = ROW_FIELDS[name]
                own = kept(f"{key}_{which}_{name}", suggested.get(name, NONE), options)
                chosen[name] = place.selectbox(label, options, help=meaning, key=own)
    return {name: "" if column == NONE else column for name, column in chosen.items()}


def templates() -> None:
    """Files to fill in."""
    with st.expander("Templates to fill in", icon=":material/download:", key="templates"):
        with st.container(horizontal=True):
            for name, file in TEMPLATES.items():
                title = TEMPLATE_TITLES.get(name, name.replace("-", " ").capitalize())
                mime, text = MIME.get(file.suffix, "text/plain"), file.read_text(encoding="utf-8")
                download(title, text, file.name, mime, key=f"template_{name}")
        st.caption("Each shows a few rows of the many that are needed: about 200 are a good start.")


def table_form(name: str) -> Table | None:
    """An upload, or a path; the table, or None where there is none or it cannot be read.

    Args:
        name: Which table, of `TABLES`.
    """
    label, meaning = TABLES[name]
    left, right = split(f"own_{name}", (1, 1))
    with left:
        st.file_uploader(
            label,
            list(FILE_TYPES),
            max_upload_size=MAX_BYTES // 2**20,
            help=meaning,
            key=f"upload_{name}",
            on_change=_keep_upload,
            args=(name,),
        )
    with right:
        path = st.text_input(
            "or its path on this machine",
            placeholder=f"/path/to/prompts.csv ({', '.join(FILE_TYPES)})",
            help="An upload is kept beside the runs, and stands here afterwards.",
            key=kept(name, ""),
        ).strip()
        table = _read(path)
        if table is not None:
            st.caption(
                f"**{literal(table.name)}** has {count(len(table), 'row')} and "
                f"{count(len(table.columns), 'column')}: {literal(', '.join(table.columns))}."
            )
    return table


def _keep_upload(name: str) -> None:
    upload = st.session_state[f"upload_{name}"]
    if upload is None:
        return
    try:
        path = save_upload(upload.name, upload.getvalue())
    except OSError as failure:
        error(f"The upload cannot be kept: {failure}")
        return
    choose_own(name, str(path))
    if name == "table":
        _guess_kind(path)


def _guess_kind(path: Path) -> None:
    """Choose what the columns of a new table can only mean."""
    try:
        table = read_table(path)
    except CircuitvizError:
        return
    if "triggered" in suggest_columns(table, "backdoor"):
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
    except (CircuitvizError, OSError, RuntimeError) as failure:
        # RuntimeError: the path begins with the home folder of somebody unknown.
        error(str(failure))
        return None


@st.cache_resource(max_entries=8, show_spinner=False)
def _table(path: str, stamp: tuple[int, int] | None) -> Table:
    return read_table(Path(path))
