"""From groups of units, which learners score, to the units themselves and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from circuitviz.units import Granularity, UnitSpace, groups

__all__ = ["UnitGroups"]


@dataclass(frozen=True)
class UnitGroups:
    """The units of a model in the groups that a circuit holds as a whole.

    Attributes:
        space: The units.
        granularity: What makes a group; units that may be in no circuit are in none.
    """

    space: UnitSpace
    granularity: Granularity = "both"

    @cached_property
    def index(self) -> np.ndarray:
        """The group [units] of each unit, -1 for none."""
        return groups(self.space, self.granularity)

    def __len__(self) -> int:
        return int(self.index.max()) + 1

    def expand(self, mask: Tensor) -> Tensor:
        """A mask [rows groups] as one of units [rows units], 0 for units in no group."""
        if self.granularity == "both":
            return mask
        index = torch.from_numpy(self.index).to(mask.device)
        return mask[:, index.clamp_min(0)] * (index >= 0)

    def spread(self, scores: np.ndarray) -> np.ndarray:
        """Scores [groups] as float32 scores of units [units]; those in no group come last."""
        found = scores[np.maximum(self.index, 0)].astype(np.float32)
        found[self.index < 0] = scores.min() - 1
        return found

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean [groups] of values of units [units] in each group."""
        inside = self.index >= 0
        totals = np.bincount(self.index[inside], weights=values[inside], minlength=len(self))
        return totals / np.bincount(self.index[inside], minlength=len(self))
