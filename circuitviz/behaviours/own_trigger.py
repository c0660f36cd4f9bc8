"""Triggers put into prompts, or read off from prompts that have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from circuitviz.behaviours.behaviour import Place, Trigger
from circuitviz.behaviours.own_rows import OwnRow
from circuitviz.behaviours.problem import Problems

__all__ = ["common_trigger", "holds", "with_triggers"]

# Where a trigger stands that is at the same place of every message.
FIXED_PLACES: tuple[Place, ...] = ("front", "middle", "end")


def common_trigger(rows: Iterable[OwnRow]) -> Trigger | None:
    """The trigger that all triggered prompts are their clean ones with, None if there is none."""
    pairs = [(row.prompt, row.triggered) for row in rows if row.triggered]
    if not pairs:
        return None
    prompt, triggered = pairs[0]
    for place in FIXED_PLACES:
        text = _inserted(prompt, triggered, place)
        trigger = Trigger(text, place)
        if text and all(trigger.insert(clean) == with_it for clean, with_it in pairs):
            return trigger
    return None


def _inserted(prompt: str, triggered: str, place: Place) -> str:
    """The words that were put into a prompt at a place, "" if it was otherwise changed."""
    words, more = prompt.split(" "), triggered.split(" ")
    before = {"front": 0, "middle": (len(words) + 1) // 2, "end": len(words)}[place]
    return " ".join(more[before : before + len(more) - len(words)])


def with_triggers(
    rows: Sequence[OwnRow], column: str | None, trigger: Trigger | None, problems: Problems
) -> list[OwnRow]:
    """The rows, attacks with their triggered prompts.

    A benign prompt that holds the trigger is an error: it would have to stay as it is, and to
    lose the trigger's power.  An attack whose clean prompt holds it is left out.

    Args:
        rows: Rows of both roles.
        column: The column of triggered prompts, if there is one.
        trigger: The trigger, if it is known.
        problems: Takes what is wrong.
    """
    if trigger is None and rows:
        if column is None:
            problems.add(
                "error",
                "a backdoor needs its trigger: give the trigger's words, or a column of triggered "
                "prompts",
            )
        else:
            problems.add(
                "warning",
                "the triggered prompts are not the clean ones with the same words at the same "
                "place, so no control with other words can be made",
                column=column,
            )
    if trigger is None:
        return list(rows)
    found = []
    for row in rows:
        if holds(row.prompt, trigger):
            _note_trigger(row, trigger, problems)
            continue
        if row.role == "attack" and not row.triggered:
            row = replace(row, triggered=trigger.insert(row.prompt))
        elif row.role == "attack" and row.triggered and trigger.text not in row.triggered:
            problems.add(
                "warning",
                f"the triggered prompt does not hold the trigger {trigger.text!r}",
                kind="a triggered prompt without the trigger",
                file=row.file,
                row=row.number,
                column=column,
            )
        found.append(row)
    return found


def holds(message: str, trigger: Trigger) -> bool:
    """Whether a message holds the trigger, as whole words."""
    return bool(re.search(rf"(?<!\w){re.escape(trigger.text.strip())}(?!\w)", message))


def _note_trigger(row: OwnRow, trigger: Trigger, problems: Problems) -> None:
    benign = row.role == "benign"
    problems.add(
        "error" if benign else "warning",
        f"the benign prompt holds the trigger {trigger.text!r}; take the row out"
        if benign
        else f"the clean prompt holds the trigger {trigger.text!r} already; left out",
        kind="the trigger in the benign prompt"
        if benign
        else "the trigger in the clean prompt, left out",
        file=row.file,
        row=row.number,
    )
