"""Masks of a given size with a gradient: the best units forward, a soft choice backward.

Forward takes exactly the k best units; backward sees p_u = sigmoid((s_u - tau_k) / T), with tau_k
such that sum_u p_u = k.  tau_k is differentiated implicitly:
d tau = sum_u w_u d s_u with w_u proportional to p_u (1 - p_u).

Straight-through gradients are Bengio et al., arXiv:1308.3432.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["mask_generator", "soft_top_k", "straight_through"]

BISECTIONS = 40


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
