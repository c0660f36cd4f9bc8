"""Roles and splits of a table's rows: made where none are given, and enough of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from circuitviz.behaviours.own_rows import OwnRow
from circuitviz.behaviours.problem import Problems
from circuitviz.behaviours.prompt import Role, Split
from circuitviz.behaviours.splits import LEAST, LEAST_ROWS, make_splits, set_aside
from circuitviz.behaviours.twins import together

__all__ = ["check_roles", "check_splits", "with_benign", "with_splits"]

# Fewer test prompts than this deserve a word about how little they show.
FEW_TEST_PROMPTS = 50
# Two-sided 95 %.
Z = 1.96


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
