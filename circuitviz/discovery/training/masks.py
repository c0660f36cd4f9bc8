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
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitviz.units import Granularity, UnitSpace, groups

BISECTIONS = 40


@dataclass(frozen=True)
class UnitGroups:
    """The units of a model in the groups that a circuit holds as a whole.

    Attributes:
        space: The units.
        granularity: What makes a group; units that may be in no circuit are in none.
        among: Only units where it is true are in a group; None is no such limit.
    """

    space: UnitSpace
    granularity: Granularity = "both"
    among: Bool[np.ndarray, " units"] | None = field(default=None, compare=False)

    @cached_property
    def index(self) -> Int[np.ndarray, " units"]:
        """The group of each unit, -1 for none."""
        index = groups(self.space, self.granularity)
        if self.among is None:
            return index
        inside = self.among & (index >= 0)
        numbered = np.full_like(index, -1)
        numbered[inside] = np.unique(index[inside], return_inverse=True)[1]
        return numbered

    def __len__(self) -> int:
        return int(self.index.max()) + 1

    def expand(self, mask: Float[Tensor, "rows groups"]) -> Float[Tensor, "rows units"]:
        """A mask of groups as one of units, 0 for units in no group."""
        if self.granularity == "both" and self.among is None:
            return mask
        index = torch.from_numpy(self.index).to(mask.device)
        return mask[:, index.clamp_min(0)] * (index >= 0)

    def spread(self, scores: Float[np.ndarray, " groups"]) -> Float[np.ndarray, " units"]:
        """Scores of groups as float32 scores of units; those in no group come last."""
        spread = scores[np.maximum(self.index, 0)].astype(np.float32)
        spread[self.index < 0] = scores.min() - 1
        return spread

    def total(self, values: Float[np.ndarray, " units"]) -> Float[np.ndarray, " groups"]:
        """The sum of the values of each group's units."""
        inside = self.index >= 0
        return np.bincount(self.index[inside], weights=values[inside], minlength=len(self))

    def mean(self, values: Float[np.ndarray, " units"]) -> Float[np.ndarray, " groups"]:
        """The mean of the values of each group's units."""
        return self.total(values) / self.total(np.ones(len(values)))


def mask_generator(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """The source of noise for masks on a device: the given one on the CPU, else one seeded by it.

    Masks have a value for every row and unit, too many to draw on the CPU and send over.
    """
    if device.type == "cpu":
        return generator
    seed = int(torch.randint(2**31, (), generator=generator))
    return torch.Generator(device).manual_seed(seed)


def logistic(shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, ...]:
    """Noise of the standard logistic distribution, on the generator's device."""
    uniform = torch.rand(shape, generator=generator, device=generator.device)
    return uniform.clamp(1e-6, 1 - 1e-6).logit()


def straight_through(
    scores: Float[Tensor, "rows units"], sizes: Float[Tensor, " rows"], temperature: float
) -> Float[Tensor, "rows units"]:
    """Masks: forward the `sizes` best units exactly, backward `soft_top_k`."""
    soft = soft_top_k(scores, sizes, temperature)
    order = scores.detach().argsort(dim=1, descending=True, stable=True)
    ranks = torch.arange(scores.shape[1], device=scores.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, ranks)
    hard = (rank < sizes[:, None]).float()
    return hard + soft - soft.detach()


def soft_top_k(
    scores: Float[Tensor, "rows units"], sizes: Float[Tensor, " rows"], temperature: float
) -> Float[Tensor, "rows units"]:
    """p = sigmoid((s - tau) / T) with each row's sum equal to its size.

    Args:
        scores: s.
        sizes: Each above 0 and below the number of units.
        temperature: T.
    """
    fixed = scores.detach()
    # tau by bisection.
    low = torch.full_like(sizes, float(fixed.min()) - 40 * temperature)
    high = torch.full_like(sizes, float(fixed.max()) + 40 * temperature)
    for _ in range(BISECTIONS):
        tau = (low + high) / 2
        too_low = ((fixed - tau[:, None]) / temperature).sigmoid().sum(1) > sizes
        low, high = low.where(~too_low, tau), high.where(too_low, tau)
    tau = (low + high) / 2
    soft = ((fixed - tau[:, None]) / temperature).sigmoid()
    weight = soft * (1 - soft)
    weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-12)
    # The same value as tau, with the gradient of the implicit function.
    tau = tau + (weight * (scores - fixed)).sum(1)
    return torch.sigmoid((scores - tau[:, None]) / temperature)
