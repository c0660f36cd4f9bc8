"""Splitting prompts that come without splits, and how many prompts a split needs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from circuitviz.behaviours.prompt import Split

__all__ = ["LEAST", "LEAST_ROWS", "make_splits", "set_aside", "shuffled"]

SHARES: dict[Split, float] = {"train": 0.5, "validation": 0.2, "test": 0.3}
# Fewer prompts of a role teach, choose and show next to nothing.
LEAST: dict[Split, int] = {"train": 10, "validation": 4, "test": 6}
LEAST_ROWS = sum(LEAST.values())

# Of the clean rows, for benign prompts where none are given.
BENIGN_SHARE = 0.3


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
