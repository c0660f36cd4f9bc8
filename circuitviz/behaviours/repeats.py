"""Rows that repeat others: the same prompt twice, in two splits, or with two answers."""

from __future__ import annotations

from collections.abc import Sequence

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.behaviours.own_rows import OwnRow
from circuitviz.behaviours.problem import Problems

__all__ = ["without_repeats"]

SAYS = {
    "answer": "another answer",
    "triggered": "another triggered prompt",
    "target": "another target",
    "after": "another answer after removal",
}


def without_repeats(
    rows: Sequence[OwnRow], kind: BehaviourKind, problems: Problems
) -> tuple[list[OwnRow], int]:
    """The rows without those that repeat an earlier one, and how many those are.

    Two prompts are the same if they differ in white space only.  A row that repeats another with
    all it says is dropped with a warning; one that contradicts the other, or stands in another
    split, is an error.  Of a backdoor, a clean prompt that an attack is made of may be a benign
    prompt as well where both stand in one given split; where splits are yet to be made, the
    attack stays alone.
    """
    kept: list[OwnRow] = []
    seen: dict[tuple[str, str], OwnRow] = {}
    # Attacks first, so that they stay.
    for row in sorted(rows, key=lambda row: row.role):
        messages = [_plain(text) for text in (row.prompt, row.triggered) if text]
        places = [(role, message) for role in (row.role, "attack") for message in messages]
        other = next((seen[place] for place in places if place in seen), None)
        if other is None or _may_be_both(row, other, kind):
            seen.update(dict.fromkeys(places[: len(messages)], row))
            kept.append(row)
        else:
            _note(row, other, kind, problems)
    place = {id(row): place for place, row in enumerate(rows)}
    return sorted(kept, key=lambda row: place[id(row)]), len(rows) - len(kept)


def _may_be_both(row: OwnRow, other: OwnRow, kind: BehaviourKind) -> bool:
    """Whether a benign row may repeat the clean prompt of an attack."""
    given = row.split is not None and row.split == other.split
    return row.role != other.role and given and not _difference(row, other, kind)


def _note(row: OwnRow, other: OwnRow, kind: BehaviourKind, problems: Problems) -> None:
    there = f"row {other.number}" + (f" of {other.file}" if other.file != row.file else "")
    if row.split != other.split:
        problems.add(
            "error",
            f"the same prompt as {there}, here in the split {row.split or 'to be made'} and there "
            f"in {other.split or 'one to be made'}; splits must be disjoint: keep one of the two",
            kind="a prompt of another split",
            file=row.file,
            row=row.number,
        )
        return
    different = _difference(row, other, kind)
    if different:
        problems.add(
            "error",
            f"the same prompt as {there}, but {different}; keep one of the two",
            kind="a prompt that another row has otherwise",
            file=row.file,
            row=row.number,
        )
    else:
        what = "left out of the benign prompts" if row.role != other.role else "left out"
        problems.add(
            "warning",
            f"the same prompt as {there}; {what}",
            kind="the prompt of an earlier row, left out",
            file=row.file,
            row=row.number,
        )


def _difference(row: OwnRow, other: OwnRow, kind: BehaviourKind) -> str:
    """What one row says and the other does not, "" if they agree."""
    if _plain(row.prompt) != _plain(other.prompt):
        return "once with the trigger in it and once as it is"
    if row.role != other.role:
        if kind == "refusal":
            return f"{row.role} here and {other.role} there"
        given = (row.answer, other.answer)
        return SAYS["answer"] if None not in given and row.answer != other.answer else ""
    for name, text in SAYS.items():
        if _plain(getattr(row, name) or "") != _plain(getattr(other, name) or ""):
            return text
    return ""


def _plain(text: str) -> str:
    return " ".join(text.split())
