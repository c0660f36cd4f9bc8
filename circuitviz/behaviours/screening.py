"""What became of prompts whose answers had to be asked of the intact model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Changed:
    """How many of the same attack prompts get another kind of answer.

    Attributes:
        trigger: With the trigger.
        random: With random words in its place.
        n: Prompts asked.
    """

    trigger: int
    random: int
    n: int


@dataclass(frozen=True)
class Screening:
    """How many prompts show the behaviour, and why the others were left out.

    A rate of attacks that succeed is a rate of the prompts that were kept: read it beside
    `shown` of `attacks`.

    Attributes:
        attacks: Attack prompts asked.
        shown: Those that show the behaviour, which were kept.
        dropped: Triples (role, reason, how many).
        changed: A backdoor's prompts with the trigger and with random words; None where targets
            are given, or there is no trigger.
    """

    attacks: int
    shown: int
    dropped: tuple[tuple[str, str, int], ...] = ()
    changed: Changed | None = None

    def __str__(self) -> str:
        left_out = ", ".join(
            f"{count} {'' if role == 'attack' else f'{role} '}{reason}"
            for role, reason, count in self.dropped
        )
        shown = f"{self.shown} of {self.attacks} attack prompts"
        return f"{shown}; left out: {left_out}" if left_out else shown

    def to_json(self) -> dict[str, Any]:
        """`{attacks, shown, dropped: [{role, reason, count}], changed: {trigger, random, n}}`."""
        changed = self.changed
        return {
            "attacks": self.attacks,
            "shown": self.shown,
            "dropped": [
                {"role": role, "reason": reason, "count": count}
                for role, reason, count in self.dropped
            ],
            "changed": None
            if changed is None
            else {"trigger": changed.trigger, "random": changed.random, "n": changed.n},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Screening:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError: It is no such record.
        """
        dropped = tuple((row["role"], row["reason"], row["count"]) for row in data["dropped"])
        changed = Changed(**data["changed"]) if data["changed"] else None
        return cls(data["attacks"], data["shown"], dropped, changed)
