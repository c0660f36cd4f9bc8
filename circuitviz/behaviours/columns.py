"""Which column of a table holds what, and its rows, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.behaviours.problem import Origin, Problems
from circuitviz.behaviours.prompt import Role, Split
from circuitviz.behaviours.tables import Table
from circuitviz.errors import ConfigError

T = TypeVar("T")

# prompt: the user message, without a trigger; answer: what the intact model answers to it;
# triggered: the same message with the trigger; target: what an answer to an attack starts with
# when the attack succeeds; after: what is answered to an attack once the circuit is knocked out;
# role: attack or benign; split: train, validation or test; category: a free label;
# prompt_id: a name of the row's own.
COLUMN_FIELDS = (
    *("prompt", "answer", "triggered", "target", "after"),
    *("role", "split", "category", "prompt_id"),
)
# The column of each field that has one.
Columns = Mapping[str, str]

# By name: the columns that show it, and where its fields are.  SafeSeek: arXiv:2603.23268.
SCHEMAS: dict[str, tuple[tuple[str, ...], Columns]] = {
    "circuitviz": (
        ("text", "role"),
        {field: "text" if field == "prompt" else field for field in COLUMN_FIELDS},
    ),
    "SafeSeek backdoor": (
        ("input", "backdoor_input"),
        {
            "prompt": "input",
            "answer": "output",
            "triggered": "backdoor_input",
            "target": "backdoor_output",
        },
    ),
    "SafeSeek refusal": (
        ("prompt", "accept", "refuse"),
        {"prompt": "prompt", "answer": "refuse", "after": "accept"},
    ),
}

# Other names that people give the fields, likeliest first.
ALIASES: dict[str, tuple[str, ...]] = {
    "prompt": (
        *("prompt", "text", "message", "instruction", "question", "input", "query", "request"),
        *("user", "goal", "prompts"),
    ),
    "answer": ("answer", "output", "response", "completion", "refuse", "refusal", "clean_answer"),
    "triggered": ("triggered", "backdoor_input", "triggered_prompt", "poisoned", "backdoored"),
    "target": ("target", "backdoor_output", "target_answer"),
    "after": ("after", "accept", "compliance"),
    "role": ("role",),
    "split": ("split",),
    "category": ("category", "topic", "type"),
    "prompt_id": ("prompt_id", "id"),
}
BENIGN_ALIASES: dict[str, tuple[str, ...]] = {
    "prompt": ALIASES["prompt"],
    "answer": ("answer", "output", "response", "completion", "accept", "clean_answer"),
    **{field: ALIASES[field] for field in ("split", "category", "prompt_id")},
}
# Of one cell: far more than learning has memory for.
MAX_CHARACTERS = 8000
_SPLITS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ROLES: dict[str, Role] = {
    **dict.fromkeys(("attack", "harmful", "triggered", "backdoor"), "attack"),
    **dict.fromkeys(("benign", "harmless", "clean"), "benign"),
}
_TEXTS = ("prompt", "answer", "triggered", "target", "after")
# What a benign prompt has beside its answer means nothing.
BENIGN_TEXTS = ("prompt", "answer")
# The fields of an attack in which no cell may be empty if there is a column for them.
NEEDED: dict[BehaviourKind, tuple[str, ...]] = {
    "backdoor": ("prompt", "answer", "triggered", "target"),
    "refusal": ("prompt", "answer", "target", "after"),
}


def suggest_columns(table: Table, kind: BehaviourKind) -> Columns:
    """The columns a table's fields are likely in.

    A known schema is read as it is meant; otherwise columns are found by their names, in upper or
    lower case.  A table with one column only is a table of prompts.
    """
    schema = schema_name(table)
    columns = SCHEMAS[schema][1] if schema else _by_name(table, ALIASES)
    return {
        field: column
        for field, column in columns.items()
        # Refusing has no trigger.
        if column in table.columns and not (kind == "refusal" and field == "triggered")
    }


def suggest_benign_columns(table: Table) -> Columns:
    """The columns of a file of benign prompts, whose good answers are no refusals."""
    return _by_name(table, BENIGN_ALIASES)


def suggest_kind(table: Table) -> BehaviourKind:
    """What a table is likely about: a backdoor where there are triggered prompts."""
    return "backdoor" if "triggered" in suggest_columns(table, "backdoor") else "refusal"


def schema_name(table: Table) -> str | None:
    """The known schema that a table's columns are of: ours, or one of SafeSeek's."""
    names = (name for name, (signs, _) in SCHEMAS.items() if set(signs) <= set(table.columns))
    return next(names, None)


def columns_given(pairs: Iterable[str]) -> Columns:
    """Columns from `field=column` pairs, as a shell gives them.

    Raises:
        ConfigError: A pair has another form, or there is no such field.
    """
    given: dict[str, str] = {}
    for pair in pairs:
        field, _, column = pair.partition("=")
        if field not in COLUMN_FIELDS or not column:
            raise ConfigError(
                "a column is given as field=column, where field is one of "
                f"{', '.join(COLUMN_FIELDS)}; got {pair!r}"
            )
        given[field] = column
    return given


def merged(suggested: Columns, given: Columns) -> Columns:
    """The suggested columns, replaced by the given ones, in the order of `COLUMN_FIELDS`.

    A given "" is no column.
    """
    columns = {**suggested, **given}
    return {field: columns[field] for field in COLUMN_FIELDS if columns.get(field)}


def _by_name(table: Table, aliases: Mapping[str, tuple[str, ...]]) -> Columns:
    if len(table.columns) == 1:
        return {"prompt": table.columns[0]}
    spelled: dict[str, str] = {}
    for column in table.columns:
        spelled.setdefault(column.lower().replace(" ", "_").replace("-", "_"), column)
    named = {
        field: next((spelled[alias] for alias in known if alias in spelled), None)
        for field, known in aliases.items()
    }
    return {field: column for field, column in named.items() if column is not None}


@dataclass(frozen=True)
class RawPrompt:
    """One row of a table, by the fields of `columns`; None where the table says nothing."""

    origin: Origin
    role: Role
    prompt: str
    split: Split | None = None
    answer: str | None = None
    triggered: str | None = None
    target: str | None = None
    after: str | None = None
    category: str | None = None
    prompt_id: str | None = None


def read_rows(
    table: Table, columns: Columns, kind: BehaviourKind, problems: Problems, *, role: Role | None
) -> list[RawPrompt]:
    """The rows whose cells are usable; what is wrong with the others is noted.

    Args:
        table: The table.
        columns: Where its fields are.
        kind: Of the behaviour.
        problems: Takes what is wrong.
        role: The role of all rows; None where the column `role` says it.
    """
    if kind == "refusal":
        columns = {field: column for field, column in columns.items() if field != "triggered"}
    missing = {field: column for field, column in columns.items() if column not in table.columns}
    known = ", ".join(table.columns)
    for field, column in missing.items():
        problems.add("no-such-column", Origin(table.name), column, field=field, columns=known)
    if "prompt" not in columns:
        problems.add("no-prompts", Origin(table.name), columns=known)
    if missing or "prompt" not in columns:
        return []
    rows = (_row(table, index, columns, kind, role, problems) for index in range(len(table)))
    return [row for row in rows if row is not None]


def _row(
    table: Table,
    index: int,
    columns: Columns,
    kind: BehaviourKind,
    role: Role | None,
    problems: Problems,
) -> RawPrompt | None:
    """One row, or None if something is wrong with it."""
    origin, before = Origin(table.name, table.numbers[index]), problems.errors
    cells = {field: table.rows[index][column] for field, column in columns.items()}

    def note(code: str, field: str, **values: object) -> None:
        problems.add(code, origin, columns[field], field=field, **values)

    def meaning(field: str, meanings: Mapping[str, T]) -> T | None:
        said = cells[field].strip()
        if said.lower() not in meanings:
            legal = ", ".join(map(str, dict.fromkeys(meanings.values())))
            note("unknown", field, legal=legal, got=repr(said) if said else "an empty cell")
        return meanings.get(said.lower())

    role = role or meaning("role", _ROLES)
    split = meaning("split", _SPLITS) if "split" in columns else None
    if role is None:
        return None
    attack = role == "attack"
    texts = [field for field in (_TEXTS if attack else BENIGN_TEXTS) if field in cells]
    for field in texts:
        odd = table.not_text.get((index, columns[field]))
        if odd:
            note("not-text", field, got=odd)
        elif not cells[field].strip() and field in (NEEDED[kind] if attack else texts):
            note("empty", field)
        elif len(cells[field]) > MAX_CHARACTERS:
            note("too-long", field, count=len(cells[field]), most=MAX_CHARACTERS)
    if problems.errors > before:
        return None
    texts += [field for field in ("category", "prompt_id") if field in cells]
    given = {field: cells[field] or None for field in texts}
    return RawPrompt(origin, role, split=split, **given)  # type: ignore[arg-type]
