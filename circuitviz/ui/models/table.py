"""A table of prompts: where it comes from, what its columns mean, and how it is understood."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import get_args
from zlib import crc32

import pandas as pd
import streamlit as st

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.columns import (
    Columns,
    schema_name,
    suggest_columns,
)
from circuitviz.behaviours.prepare import PreparedData
from circuitviz.behaviours.problem import Problem
from circuitviz.behaviours.prompt import Prompt, Split, count_prompts
from circuitviz.behaviours.tables import FILE_TYPES, MAX_BYTES, TEMPLATES, Table, read_table
from circuitviz.errors import CircuitvizError
from circuitviz.narrative.numbers import count
from circuitviz.plots.bars import split_bars
from circuitviz.ui.elements.components import CHART_CONFIG, download, error, split, table
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
        # RuntimeError: the path begins with the home folder of an unknown user.
        error(str(failure))
        return None


@st.cache_resource(max_entries=8, show_spinner=False)
def _table(path: str, stamp: tuple[int, int] | None) -> Table:
    return read_table(Path(path))


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
