"""Masks: which units share one, and how a mask of whole size has a gradient.

`straight_through` makes masks of a given size: the best units forward, a soft choice backward.
Forward takes exactly the k best units; backward sees p_u = sigmoid((s_u - tau_k) / T), with tau_k
such that sum_u p_u = k.  tau_k is differentiated implicitly:
d tau = sum_u w_u d s_u with w_u proportional to p_u (1 - p_u).

Straight-through gradients are Bengio et al., arXiv:1308.3432.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from circuitviz.units import Granularity, UnitSpace, groups

BISECTIONS = 40


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


def mask_generator(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """The source of noise for masks on a device: the given one on the CPU, else one seeded by it.

    Masks have a value for every row and unit, too many to draw on the CPU and send over.
    """
    if device.type == "cpu":
        return generator
    seed = int(torch.randint(2**31, (), generator=generator))
    return torch.Generator(device).manual_seed(seed)


def straight_through(scores: Tensor, sizes: Tensor, temperature: float) -> Tensor:
    """Masks [rows units]: forward the `sizes` best units exactly, backward `soft_top_k`."""
    soft = soft_top_k(scores, sizes, temperature)
    order = scores.detach().argsort(dim=1, descending=True, stable=True)
    places = torch.arange(scores.shape[1], device=scores.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places)
    hard = (rank < sizes[:, None]).float()
    return hard + soft - soft.detach()


def soft_top_k(scores: Tensor, sizes: Tensor, temperature: float) -> Tensor:
    """p [rows units] = sigmoid((s - tau) / T) with each row's sum equal to its size.

    Args:
        scores: [rows units].
        sizes: [rows], each above 0 and below the number of units.
        temperature: T.
    """
    tau = _threshold(scores.detach(), sizes, temperature)
    fixed = torch.sigmoid((scores.detach() - tau[:, None]) / temperature)
    weight = fixed * (1 - fixed)
    weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-12)
    # The same value as tau, with the gradient of the implicit function.
    tau = tau + (weight * (scores - scores.detach())).sum(1)
    return torch.sigmoid((scores - tau[:, None]) / temperature)


def _threshold(scores: Tensor, sizes: Tensor, temperature: float) -> Tensor:
    """tau [rows] by bisection."""
    margin = 40 * temperature
    low = torch.full(sizes.shape, float(scores.min()) - margin, device=scores.device)
    high = torch.full(sizes.shape, float(scores.max()) + margin, device=scores.device)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        total = torch.sigmoid((scores - middle[:, None]) / temperature).sum(1)
        low = torch.where(total > sizes, middle, low)
        high = torch.where(total > sizes, high, middle)
    return (low + high) / 2
