"""The rows of a table as prompts to be: cells checked one by one."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TypeVar, get_args

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.behaviours.columns import Columns
from circuitviz.behaviours.problem import Problems
from circuitviz.behaviours.prompt import Role, Split
from circuitviz.behaviours.tables import Table

# Of one cell: far more than learning has memory for.
MAX_CHARACTERS = 8000

SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
ROLES: dict[str, Role] = {
    "attack": "attack",
    "harmful": "attack",
    "triggered": "attack",
    "backdoor": "attack",
    "benign": "benign",
    "harmless": "benign",
    "clean": "benign",
}

# Of each role, the fields in which a cell must not be empty if there is a column for them.
NEEDED: dict[tuple[BehaviourKind, Role], tuple[str, ...]] = {
    ("backdoor", "attack"): ("prompt", "answer", "triggered", "target"),
    ("backdoor", "benign"): ("prompt", "answer"),
    ("refusal", "attack"): ("prompt", "answer", "target", "after"),
    ("refusal", "benign"): ("prompt", "answer"),
}
TEXTS = ("prompt", "answer", "triggered", "target", "after")

T = TypeVar("T")

# The first words, at most three, up to any punctuation.
OPENING = re.compile(r"\s*[^\s,.:;!?]+(?:[ \t]+[^\s,.:;!?]+){0,2}")


@dataclass(frozen=True)
class OwnRow:
    """One row of a table; None where the table says nothing.

    Attributes:
        file: The table's name.
        number: The row's number there.
        role: Its role.
        prompt: The message without a trigger.
        split: Its split, if the table has splits.
        answer: The intact model's answer.
        triggered: The message with the trigger.
        target: What the answer to a successful attack starts with.
        after: The answer once the circuit is knocked out.
        category: Free label.
        prompt_id: The row's own name.
    """

    file: str
    number: int
    role: Role
    prompt: str
    split: Split | None = None
    answer: str | None = None
    triggered: str | None = None
    target: str | None = None
    after: str | None = None
    category: str | None = None
    prompt_id: str | None = None


CELLS = {field.name for field in fields(OwnRow)} - {"file", "number", "role", "split"}


def opening(answer: str) -> str:
    """How a compliant answer starts: its first words, at most three, up to any punctuation."""
    found = OPENING.match(answer)
    return found.group() if found else answer


def read_rows(
    table: Table, columns: Columns, kind: BehaviourKind, problems: Problems, *, role: Role | None
) -> list[OwnRow]:
    """The rows whose cells are usable; what is wrong with the others is noted.

    Args:
        table: The table.
        columns: Where its fields are.
        kind: Of the behaviour.
        problems: Takes what is wrong.
        role: The role of all rows; None where the column `role` says it.
    """
    if not _has_columns(table, columns, problems):
        return []
    found = []
    for index, number in enumerate(table.numbers):
        row = _Cells(table, columns, index, number, problems).row(kind, role)
        if row is not None:
            found.append(row)
    return found


def _has_columns(table: Table, columns: Columns, problems: Problems) -> bool:
    before, known = problems.errors, ", ".join(table.columns)
    for name, column in columns:
        if column not in table.columns:
            problems.add(
                "error",
                f"no such column, so {name} cannot be read from it; there are {known}",
                file=table.name,
                column=column,
            )
    if columns.prompt is None:
        problems.add(
            "error",
            f"no column of prompts among {known}; say which one the field prompt is",
            file=table.name,
        )
    return problems.errors == before


@dataclass(frozen=True)
class _Cells:
    """The cells of one row under check."""

    table: Table
    columns: Columns
    index: int
    number: int
    problems: Problems

    def row(self, kind: BehaviourKind, role: Role | None) -> OwnRow | None:
        """The row, or None if something is wrong with it."""
        before = self.problems.errors
        role = role or self._one_of("role", ROLES, get_args(Role))
        split = self._one_of("split", SPLITS, get_args(Split)) if self.columns.split else None
        if role is None:
            return None
        needed = NEEDED[kind, role]
        for name in TEXTS:
            self._check_text(name, needed=name in needed, used=name in needed or role == "attack")
        if self.problems.errors > before:
            return None
        # What a benign prompt has beside its answer means nothing.
        meant = CELLS if role == "attack" else CELLS - {"triggered", "target", "after"}
        cells = {name: self._cell(name) or None for name, _ in self.columns if name in meant}
        return OwnRow(self.table.name, self.number, role, split=split, **cells)  # type: ignore[arg-type]

    def _cell(self, name: str) -> str:
        column = getattr(self.columns, name)
        return self.table.rows[self.index][column] if column else ""

    def _one_of(self, name: str, meanings: dict[str, T], legal: tuple[str, ...]) -> T | None:
        said = self._cell(name).strip()
        meaning = meanings.get(said.lower())
        if meaning is None:
            got = repr(said) if said else "an empty cell"
            self._error(name, f"must be one of {', '.join(legal)}; got {got}", f"no known {name}")
        return meaning

    def _check_text(self, name: str, *, needed: bool, used: bool) -> None:
        column = getattr(self.columns, name)
        if column is None or not used:
            return
        cell = self.table.rows[self.index][column]
        odd = self.table.not_text.get((self.index, column))
        if odd:
            self._error(name, f"must be text; got {odd}", "something else than text")
        elif needed and not cell.strip():
            self._error(name, f"empty; every row needs its {name}", "an empty cell")
        elif len(cell) > MAX_CHARACTERS:
            self._error(
                name,
                f"{len(cell)} characters; at most {MAX_CHARACTERS} can be read: shorten the text",
                "too many characters",
            )

    def _error(self, name: str, text: str, kind: str) -> None:
        self.problems.add(
            "error",
            text,
            kind=kind,
            file=self.table.name,
            row=self.number,
            column=getattr(self.columns, name),
        )
