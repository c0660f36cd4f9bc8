"""What replaces a unit that is knocked out: nothing, its mean, or its value elsewhere."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from circuitviz.models.gates import Reference

AblationName = Literal["zero", "mean", "resample"]


@dataclass(frozen=True)
class Ablation:
    """What ablated units are replaced by.

    Attributes:
        name: `zero`: nothing.  `mean`: the unit's mean over all positions of a neutral corpus.
            `resample`: all units take the values they have at one random position of one
            neutral prompt; which one depends on the row's key, not on the batch.
        bank: Values to draw from; one row for `mean`, None for `zero`.
        seed: Which draw.
    """

    name: AblationName
    bank: Reference | None = None
    seed: int = 0

    def reference(self, keys: Sequence[int]) -> Reference | None:
        """Replacement values, one row per key (or one row for all, or None for zero)."""
        if self.bank is None or self.name == "mean":
            return self.bank
        size = self.bank.head.shape[0]
        rows = [random.Random(f"{self.seed} {key}").randrange(size) for key in keys]
        return Reference(self.bank.head[rows], self.bank.neuron[rows])


ZERO = Ablation("zero")


def message_key(message: str) -> int:
    """The key of a user message: the same wherever and with whatever else it is run."""
    return zlib.crc32(message.encode())
