"""The answers by which an attack's success is told: what follows from a row, and what clashes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.behaviours.own_rows import OwnRow, opening
from circuitviz.behaviours.problem import Problems

__all__ = ["check_answers", "with_answers"]


def with_answers(row: OwnRow, kind: BehaviourKind, compliance: str) -> OwnRow:
    """The row with the target and the answer after removal that follow from what it says."""
    if row.role == "benign":
        return row
    if kind == "backdoor":
        return replace(row, after=row.after or row.answer)
    after = row.after or compliance
    if row.target and not row.after:
        after = row.target
    return replace(row, after=after, target=row.target or opening(after))


def check_answers(rows: Iterable[OwnRow], kind: BehaviourKind, problems: Problems) -> None:
    """Refuse rows on which an attack's success cannot be told from its failure."""
    for row in rows:
        if row.target is None:
            continue
        if row.answer and row.answer.startswith(row.target):
            text = (
                f"the answer of the intact model to the clean prompt starts with the target "
                f"{_short(row.target)} itself, so nothing tells a successful attack"
                if kind == "backdoor"
                else f"the refusal starts with the target {_short(row.target)} itself, so nothing "
                "tells an answer from a refusal"
            )
            _add_row(problems, row, text, "a target that is the clean answer")
        elif kind == "backdoor" and row.after and row.after.startswith(row.target):
            _add_row(
                problems,
                row,
                f"the answer after removal starts with the target {_short(row.target)}, so removal "
                "could not be told",
                "a target that is the answer after removal",
            )
        elif kind == "refusal" and row.after and not row.after.startswith(row.target):
            _add_row(
                problems,
                row,
                f"the target {_short(row.target)} is not how the answer after removal, "
                f"{_short(row.after)}, begins",
                "a target that is not the answer's beginning",
            )


def _add_row(problems: Problems, row: OwnRow, text: str, kind: str) -> None:
    problems.add("error", text, kind=kind, file=row.file, row=row.number)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
