"""Rows without duplicates, with benign ones among them, and split."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.behaviours.columns import RawPrompt
from circuitviz.behaviours.problem import Problems
from circuitviz.behaviours.prompt import Role, Split

_SHARES: dict[str, float] = {"train": 0.5, "validation": 0.2, "test": 0.3}
# Fewer prompts of a role teach, choose and show next to nothing.
MIN_PROMPTS: dict[str, int] = {"train": 10, "validation": 4, "test": 6}
MIN_ROWS = sum(MIN_PROMPTS.values())
# Of the clean rows, for benign prompts where none are given.
BENIGN_SHARE = 0.3
# Fewer test prompts than this deserve a word about how little they show.
FEW_TEST_PROMPTS = 50
# Two-sided 95 %.
Z = 1.96

_SIGNS = re.compile(r"[^\w\s]|_")
DIFFERENCES = {
    "answer": "another answer",
    "triggered": "another triggered prompt",
    "target": "another target",
    "after": "another answer after removal",
}


def shuffled(rows: Sequence[RawPrompt], seed: int, purpose: str) -> list[RawPrompt]:
    """Rows of different prompts in an order that depends on their text and the seed alone."""
    return sorted(
        rows,
        key=lambda row: hashlib.sha256(f"{purpose}\0{seed}\0{row.prompt}".encode()).digest(),
    )


def drop_duplicates(
    rows: Sequence[RawPrompt], kind: BehaviourKind, problems: Problems
) -> list[RawPrompt]:
    """The rows without those that repeat an earlier one.

    Two prompts are the same if they differ in white space only.  A row that repeats another with
    all it says is dropped with a warning; one that contradicts the other, or stands in another
    split, is an error.  Of a backdoor, a clean prompt that an attack is made of may be a benign
    prompt as well where both stand in one given split; where splits are yet to be made, the
    attack stays alone.
    """
    kept: set[RawPrompt] = set()
    seen: dict[tuple[str, str], RawPrompt] = {}
    # Attacks first, so that they stay.
    for row in sorted(rows, key=lambda row: row.role):
        messages = [_plain(text) for text in (row.prompt, row.triggered) if text]
        keys = [(role, message) for role in (row.role, "attack") for message in messages]
        other = next((seen[key] for key in keys if key in seen), None)
        if other is None or _may_be_both(row, other, kind):
            seen.update(dict.fromkeys(keys[: len(messages)], row))
            kept.add(row)
        else:
            _note_duplicate(row, other, kind, problems)
    return [row for row in dict.fromkeys(rows) if row in kept]


def _may_be_both(row: RawPrompt, other: RawPrompt, kind: BehaviourKind) -> bool:
    """Whether a benign row may repeat the clean prompt of an attack."""
    given = row.split is not None and row.split == other.split
    return row.role != other.role and given and not _difference(row, other, kind)


def _note_duplicate(
    row: RawPrompt, other: RawPrompt, kind: BehaviourKind, problems: Problems
) -> None:
    there = other.origin.seen_from(row.origin)
    if row.split != other.split:
        splits = {"here": row.split or "to be made", "other": other.split or "one to be made"}
        problems.add("in-two-splits", row.origin, there=there, **splits)
    elif difference := _difference(row, other, kind):
        problems.add("contradiction", row.origin, there=there, difference=difference)
    else:
        outcome = "left out of the benign prompts" if row.role != other.role else "left out"
        problems.add("duplicate", row.origin, there=there, outcome=outcome)


def _difference(row: RawPrompt, other: RawPrompt, kind: BehaviourKind) -> str:
    """What one row says and the other does not, "" if they agree."""
    if _plain(row.prompt) != _plain(other.prompt):
        return "once with the trigger in it and once as it is"
    if row.role != other.role:
        if kind == "refusal":
            return f"{row.role} here and {other.role} there"
        contradicts = row.answer and other.answer and row.answer != other.answer
        return DIFFERENCES["answer"] if contradicts else ""
    for name, text in DIFFERENCES.items():
        if _plain(getattr(row, name) or "") != _plain(getattr(other, name) or ""):
            return text
    return ""


def _plain(text: str) -> str:
    return " ".join(text.split())


def with_benign(
    rows: Sequence[RawPrompt], seed: int, problems: Problems
) -> tuple[list[RawPrompt], int]:
    """The rows with 30 % of the clean prompts of each split set aside, and how many those are."""
    if not problems.errors and len(rows) < 2 * MIN_ROWS:
        both, more = 2 * MIN_ROWS, 2 * MIN_ROWS - len(rows)
        problems.add("few-rows", count=len(rows), least=MIN_ROWS, both=both, more=more)
    aside: set[RawPrompt] = set()
    for split in {row.split for row in rows}:
        own = [row for row in rows if row.split == split]
        least = MIN_ROWS if split is None else MIN_PROMPTS[split]
        count = max(least, round(BENIGN_SHARE * len(own)))
        aside.update(shuffled(own, seed, "benign")[:count])
    benign = {"role": "benign", "triggered": None, "target": None, "after": None}
    return [replace(row, **benign) if row in aside else row for row in rows], len(aside)


def check_roles(rows: Sequence[RawPrompt], problems: Problems) -> None:
    """Refuse too few rows of a role, where splits are yet to be made."""
    parts = ", ".join(f"{split} {count}" for split, count in MIN_PROMPTS.items())
    for role in get_args(Role):
        own = [row for row in rows if row.role == role]
        if len(own) < MIN_ROWS and not any(row.split for row in own):
            count, more = len(own), MIN_ROWS - len(own)
            problems.add(
                "few-of-role", role=role, count=count, least=MIN_ROWS, parts=parts, more=more
            )


def with_splits(rows: Sequence[RawPrompt], seed: int) -> list[RawPrompt]:
    """The rows with splits, made by role where there are none: half train, 30 % test.

    Whatever order the rows stand in, each gets the same split.  Of at least `MIN_ROWS` rows every
    split gets at least its `MIN_PROMPTS`.  Where all splits are made, prompts in other spelling get
    one split.

    Args:
        rows: Rows with different prompts.
        seed: Another seed gives other splits.
    """
    split_of: dict[RawPrompt, Split] = {}
    for role in get_args(Role):
        own = [row for row in rows if row.role == role and row.split is None]
        test = max(MIN_PROMPTS["test"], round(_SHARES["test"] * len(own)))
        seen = test + max(MIN_PROMPTS["validation"], round(_SHARES["validation"] * len(own)))
        for index, row in enumerate(shuffled(own, seed, "split")):
            split_of[row] = "test" if index < test else "validation" if index < seen else "train"
    done = [replace(row, split=row.split or split_of[row]) for row in rows]
    return share_split(done) if len(split_of) == len(rows) else done


def share_split(rows: Sequence[RawPrompt]) -> list[RawPrompt]:
    """The rows, where prompts in other spelling are in the split of the first of them."""
    first: dict[str, RawPrompt] = {}
    done = []
    for row in rows:
        keys = _normalised(row)
        other = next((first[key] for key in keys if key in first), row)
        done.append(replace(row, split=other.split))
        for key in keys:
            first.setdefault(key, done[-1])
    return done


def warn_cross_split_duplicates(rows: Sequence[RawPrompt], problems: Problems) -> None:
    """Warn of prompts in other spelling in two splits, where splits are given."""
    first: dict[str, RawPrompt] = {}
    for row in rows:
        others = [first.setdefault(key, row) for key in _normalised(row)]
        other = next((other for other in others if other.split != row.split), None)
        if other is not None:
            there = other.origin.seen_from(row.origin)
            splits = {"here": row.split, "other": other.split}
            problems.add("spelled-otherwise", row.origin, there=there, **splits)


def _normalised(row: RawPrompt) -> list[str]:
    """A row's messages without spelling, the clean one first, each once."""
    return list(dict.fromkeys(normalise_text(text) for text in (row.prompt, row.triggered) if text))


def normalise_text(text: str) -> str:
    """A message without case, punctuation and width of its characters.

    A message of signs alone stays as it is: nothing else is known of it.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return _plain(_SIGNS.sub(" ", plain)) or _plain(plain)


def check_splits(rows: Sequence[RawPrompt], problems: Problems) -> None:
    """Refuse too few rows of a role in a split; warn where they show little."""
    counts = Counter((row.split, row.role) for row in rows)
    for split, least in MIN_PROMPTS.items():
        for role in get_args(Role):
            count = counts[split, role]
            if count < least:
                problems.add("few-in-split", count=count, role=role, split=split, least=least)
    n = counts["test", "attack"]
    if not problems.errors and n < FEW_TEST_PROMPTS:
        problems.add("few-tests", count=n, bound=100 * Z**2 / (n + Z**2))
