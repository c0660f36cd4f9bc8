"""From groups of units, which learners score, to the units themselves and back."""

from __future__ import annotations

from dataclasses import dataclass, field
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
        among: Boolean [units]: only units where it is true are in a group; None is no such limit.
    """

    space: UnitSpace
    granularity: Granularity = "both"
    among: np.ndarray | None = field(default=None, compare=False)

    @cached_property
    def index(self) -> np.ndarray:
        """The group [units] of each unit, -1 for none."""
        index = groups(self.space, self.granularity)
        if self.among is None:
            return index
        inside = self.among & (index >= 0)
        numbered = np.full_like(index, -1)
        numbered[inside] = np.unique(index[inside], return_inverse=True)[1]
        return numbered

    def __len__(self) -> int:
        return int(self.index.max()) + 1

    def expand(self, mask: Tensor) -> Tensor:
        """A mask [rows groups] as one of units [rows units], 0 for units in no group."""
        if self.granularity == "both" and self.among is None:
            return mask
        index = torch.from_numpy(self.index).to(mask.device)
        return mask[:, index.clamp_min(0)] * (index >= 0)

    def spread(self, scores: np.ndarray) -> np.ndarray:
        """Scores [groups] as float32 scores of units [units]; those in no group come last."""
        found = scores[np.maximum(self.index, 0)].astype(np.float32)
        found[self.index < 0] = scores.min() - 1
        return found

    def total(self, values: np.ndarray) -> np.ndarray:
        """The sum [groups] of values of units [units] in each group."""
        inside = self.index >= 0
        return np.bincount(self.index[inside], weights=values[inside], minlength=len(self))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean [groups] of values of units [units] in each group."""
        inside = self.index >= 0
        return self.total(values) / np.bincount(self.index[inside], minlength=len(self))
