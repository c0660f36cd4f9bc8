"""Which column of a table holds what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.behaviours.tables import Table
from circuitviz.errors import ConfigError


@dataclass(frozen=True)
class Columns:
    """The column that each field is read from; None where there is none.

    Attributes:
        prompt: The user message, without a trigger.
        answer: What the intact model answers to it.
        triggered: The same message with the trigger.
        target: What an answer to an attack starts with when the attack succeeds.
        after: What is answered to an attack once the circuit is knocked out.
        role: `attack` or `benign`.
        split: `train`, `validation` or `test`.
        category: Free label for filtering.
        prompt_id: A name of the row's own.
    """

    prompt: str | None = None
    answer: str | None = None
    triggered: str | None = None
    target: str | None = None
    after: str | None = None
    role: str | None = None
    split: str | None = None
    category: str | None = None
    prompt_id: str | None = None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Pairs (field, column) of the fields that have one."""
        for name in FIELDS:
            column = getattr(self, name)
            if column is not None:
                yield name, column

    def with_given(self, given: Columns) -> Columns:
        """These columns, replaced by the given ones where there are any."""
        return replace(self, **dict(given))


FIELDS = tuple(field.name for field in fields(Columns))

OURS = Columns(
    prompt="text",
    answer="answer",
    triggered="triggered",
    target="target",
    after="after",
    role="role",
    split="split",
    category="category",
    prompt_id="prompt_id",
)
# The files of SafeSeek (arXiv:2603.23268).
SAFESEEK_BACKDOOR = Columns(
    prompt="input", answer="output", triggered="backdoor_input", target="backdoor_output"
)
SAFESEEK_REFUSAL = Columns(prompt="prompt", answer="refuse", after="accept")
SCHEMAS = {
    "circuitviz": (OURS, ("text", "role")),
    "SafeSeek backdoor": (SAFESEEK_BACKDOOR, ("input", "backdoor_input")),
    "SafeSeek refusal": (SAFESEEK_REFUSAL, ("prompt", "accept", "refuse")),
}

# Other names that people give the fields, likeliest first.
ALIASES = {
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
BENIGN_ALIASES = {
    **{name: ALIASES[name] for name in ("prompt", "split", "category", "prompt_id")},
    "answer": ("answer", "output", "response", "completion", "accept", "clean_answer"),
}
# Refusing has no trigger.
NOT_FOR: dict[BehaviourKind, tuple[str, ...]] = {"backdoor": (), "refusal": ("triggered",)}


def suggest_columns(table: Table, kind: BehaviourKind) -> Columns:
    """The columns a table's fields are likely in.

    A known schema is read as it is meant; otherwise columns are found by their names, in upper or
    lower case.  A table with one column only is a table of prompts.
    """
    schema = _schema(table.columns)
    if schema is not None:
        columns, _ = SCHEMAS[schema]
        found = {name: column for name, column in columns if column in table.columns}
    else:
        found = _by_name(table.columns, ALIASES)
        if len(table.columns) == 1:
            found = {"prompt": table.columns[0]}
    return Columns(**{name: col for name, col in found.items() if name not in NOT_FOR[kind]})


def suggest_benign_columns(table: Table) -> Columns:
    """The columns of a file of benign prompts, whose good answers are no refusals."""
    found = _by_name(table.columns, BENIGN_ALIASES)
    if len(table.columns) == 1:
        found = {"prompt": table.columns[0]}
    return Columns(**found)


def suggest_kind(table: Table) -> BehaviourKind:
    """What a table is likely about: a backdoor where there are triggered prompts."""
    return "backdoor" if suggest_columns(table, "backdoor").triggered else "refusal"


def schema_name(table: Table) -> str | None:
    """The known schema that a table's columns are of: ours, or one of SafeSeek's."""
    return _schema(table.columns)


def columns_given(pairs: Iterable[str]) -> Columns:
    """Columns from `field=column` pairs, as a shell gives them.

    Raises:
        ConfigError: A pair has another form, or there is no such field.
    """
    given: dict[str, str] = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not equals or name not in FIELDS or not column:
            raise ConfigError(
                f"a column is given as field=column, where field is one of {', '.join(FIELDS)}; "
                f"got {pair!r}"
            )
        given[name] = column
    return Columns(**given)


def _schema(columns: tuple[str, ...]) -> str | None:
    for name, (_, signs) in SCHEMAS.items():
        if set(signs) <= set(columns):
            return name
    return None


def _by_name(columns: tuple[str, ...], aliases: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    spelled: dict[str, str] = {}
    for column in columns:
        spelled.setdefault(column.lower().replace(" ", "_").replace("-", "_"), column)
    found: dict[str, str] = {}
    for name, known in aliases.items():
        column = next((spelled[alias] for alias in known if alias in spelled), None)
        if column is not None and column not in found.values():
            found[name] = column
    return found
