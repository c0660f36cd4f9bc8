"""Splitting prompts that come without splits, and how many prompts a split needs."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.behaviours.own_rows import OwnRow
from circuitviz.behaviours.problem import Problems
from circuitviz.behaviours.prompt import Role, Split

SHARES: dict[Split, float] = {"train": 0.5, "validation": 0.2, "test": 0.3}
# Fewer prompts of a role teach, choose and show next to nothing.
LEAST: dict[Split, int] = {"train": 10, "validation": 4, "test": 6}
LEAST_ROWS = sum(LEAST.values())

# Of the clean rows, for benign prompts where none are given.
BENIGN_SHARE = 0.3

SIGNS = re.compile(r"[^\w\s]|_")
SAYS = {
    "answer": "another answer",
    "triggered": "another triggered prompt",
    "target": "another target",
    "after": "another answer after removal",
}
# Fewer test prompts than this deserve a word about how little they show.
FEW_TEST_PROMPTS = 50
# Two-sided 95 %.
Z = 1.96


def shuffled(messages: Sequence[str], seed: int, purpose: str) -> list[int]:
    """Indices of different messages in an order that hangs on their text and the seed alone."""

    def digest(index: int) -> bytes:
        return hashlib.sha256(f"{purpose}\0{seed}\0{messages[index]}".encode()).digest()

    return sorted(range(len(messages)), key=digest)


def make_splits(messages: Sequence[str], seed: int) -> list[Split]:
    """The split of each message of one role: half train, 20 % validation, 30 % test.

    Whatever order the messages stand in, each gets the same split.  Of at least `LEAST_ROWS`
    messages every split gets at least what `LEAST` says.

    Args:
        messages: Different ones.
        seed: Another seed gives other splits.
    """
    order = shuffled(messages, seed, "split")
    test = max(LEAST["test"], round(SHARES["test"] * len(order)))
    validation = max(LEAST["validation"], round(SHARES["validation"] * len(order)))
    splits: list[Split] = ["train"] * len(order)
    for place, index in enumerate(order):
        if place < test:
            splits[index] = "test"
        elif place < test + validation:
            splits[index] = "validation"
    return splits


def set_aside(messages: Sequence[str], seed: int, least: int = LEAST_ROWS) -> set[int]:
    """Indices of the messages that become benign prompts: 30 % of them, and at least `least`."""
    count = max(least, round(BENIGN_SHARE * len(messages)))
    return set(shuffled(messages, seed, "benign")[:count])


def essence(text: str) -> str:
    """A message without case, punctuation and width of its characters.

    A message of signs alone stays as it is: nothing else is known of it.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = " ".join(SIGNS.sub(" ", plain).split())
    return words or " ".join(plain.split())


def together(rows: Sequence[OwnRow]) -> list[OwnRow]:
    """The rows, twins in the split of the first of them; for splits that were made."""
    first: dict[str, OwnRow] = {}
    found = []
    for row in rows:
        twin = next((first[key] for key in _keys(row) if key in first), row)
        row = replace(row, split=twin.split)
        for key in _keys(row):
            first.setdefault(key, row)
        found.append(row)
    return found


def check_twins(rows: Sequence[OwnRow], problems: Problems) -> None:
    """Warn of twins in two splits, where splits are given."""
    first: dict[str, OwnRow] = {}
    for row in rows:
        others = [first[key] for key in _keys(row) if key in first]
        twin = next((other for other in others if other.split != row.split), None)
        if twin is not None:
            there = f"row {twin.number}" + (f" of {twin.file}" if twin.file != row.file else "")
            problems.add(
                "warning",
                f"the prompt of {there} in other spelling, here in the split {row.split} and "
                f"there in {twin.split}: what is learned from one is tested on the other",
                kind="the prompt of another split in other spelling",
                file=row.file,
                row=row.number,
            )
        for key in _keys(row):
            first.setdefault(key, row)


def _keys(row: OwnRow) -> list[str]:
    """What a row's messages come down to, the clean one first, each once."""
    return list(dict.fromkeys(essence(text) for text in (row.prompt, row.triggered) if text))


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


def with_benign(rows: Sequence[OwnRow], seed: int, problems: Problems) -> tuple[list[OwnRow], int]:
    """The rows with some of their clean prompts set aside, of every split its share."""
    if not problems.errors and len(rows) < 2 * LEAST_ROWS:
        problems.add(
            "error",
            f"{len(rows)} usable rows; at least {2 * LEAST_ROWS} are needed, {LEAST_ROWS} for the "
            f"attack and {LEAST_ROWS} set aside as benign prompts: give "
            f"{2 * LEAST_ROWS - len(rows)} more, or a second file of benign prompts",
        )
    found, count = list(rows), 0
    splits: list[Split | None] = list(dict.fromkeys(row.split for row in rows))
    for split in splits:
        own = [place for place, row in enumerate(rows) if row.split == split]
        least = LEAST_ROWS if split is None else LEAST[split]
        for index in set_aside([rows[place].prompt for place in own], seed, least):
            row = rows[own[index]]
            found[own[index]] = replace(row, role="benign", triggered=None, target=None, after=None)
            count += 1
    return found, count


def check_roles(rows: Sequence[OwnRow], problems: Problems) -> None:
    """Refuse too few rows of a role, where splits are yet to be made."""
    counts = Counter(row.role for row in rows)
    for role in get_args(Role):
        given = any(row.split for row in rows if row.role == role)
        if counts[role] < LEAST_ROWS and not given:
            problems.add(
                "error",
                f"{counts[role]} usable {role} prompts; at least {LEAST_ROWS} are needed "
                f"({_least()}): give {LEAST_ROWS - counts[role]} more",
            )


def _least() -> str:
    return ", ".join(f"{split} {count}" for split, count in LEAST.items())


def with_splits(rows: Sequence[OwnRow], seed: int) -> list[OwnRow]:
    """The rows with splits, made by role where there are none; twins stay together."""
    found = list(rows)
    for role in get_args(Role):
        own = [place for place, row in enumerate(rows) if row.role == role and row.split is None]
        splits = make_splits([rows[place].prompt for place in own], seed)
        for place, split in zip(own, splits, strict=True):
            found[place] = replace(rows[place], split=split)
    made = all(row.split is None for row in rows)
    return together(found) if made else found


def check_splits(rows: Sequence[OwnRow], problems: Problems) -> None:
    """Refuse too few rows of a role in a split; warn where they show little."""
    counts = Counter((row.split, row.role) for row in rows)
    for split, least in LEAST.items():
        for role in get_args(Role):
            if counts[split, role] < least:
                problems.add(
                    "error",
                    f"{counts[split, role]} {role} prompts in the split {split}; at least {least} "
                    "are needed: give more, or leave the column of splits out, and splits are made",
                )
    n = counts["test", "attack"]
    if not problems.errors and n < FEW_TEST_PROMPTS:
        problems.add(
            "warning",
            f"{n} attack prompts in the test split: even if no attack succeeds, a rate of "
            f"{100 * Z**2 / (n + Z**2):.0f} % stays possible (95 % interval); give more prompts",
        )
