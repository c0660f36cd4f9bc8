"""Training one mask under a price per unit, which two methods share.

Every row of a batch draws its own binary mask, a unit being ablated where its logit l_u is above
logistic noise, so with probability sigmoid(l_u); backward sees the binary concrete relaxation
(Maddison, Mnih & Teh 2017, arXiv:1611.00712, appendix B) with temperature T:

    forward   m_u = 1[l_u + e_u > 0],  e_u logistic        backward  sigmoid((l_u + e_u) / T)

straight through, as in Bengio et al. (arXiv:1308.3432).  What is minimised is

    removal + utility_weight * utility + price * mean_u sigmoid(l_u)

the SafeSeek objective (arXiv:2603.23268) with its sparsity term on true heads and neurons: the
mean of sigmoid(l_u) is the expected L1 norm of the mask, as a share of all units.  SafeSeek's own
masks have no noise, and all units start on the same side of the threshold; hard-concrete masks
(Louizos, Welling & Kingma 2018, arXiv:1712.01312) let a unit be ablated by half, where nothing is
learned about ablating it.  Both gave larger circuits on the embedded models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuitviz.discovery.masks import UnitGroups, mask_generator
from circuitviz.discovery.objective import Outcome, TrainingRows, learn_from
from circuitviz.models.ablation import Ablation
from circuitviz.models.model import GatedModel

# Told the steps done, the logits [groups] and the losses after every step; may raise to stop.
Follow = Callable[[int, np.ndarray, Outcome], None]


@dataclass(frozen=True)
class MaskTraining:
    """How one mask is trained.

    Attributes:
        steps: Optimiser steps.
        learning_rate: Of Adam on the logits.
        decay: Whether the learning rate falls to 0 along a cosine.
        removal_rows: Attack prompts a step.
        utility_rows: Benign prompts a step.
        utility_weight: Weight of KL(intact || ablated) on benign prompts.
        start: The logit every unit starts with; below 0, so that most of the model is kept.
        temperature: T of the backward pass.
    """

    steps: int = 100
    learning_rate: float = 0.2
    decay: bool = True
    removal_rows: int = 24
    utility_rows: int = 24
    utility_weight: float = 3.0
    start: float = -2.0
    temperature: float = 2 / 3

    def train(
        self,
        model: GatedModel,
        data: TrainingRows,
        units: UnitGroups,
        *,
        price: Callable[[int], float],
        ablation: Ablation,
        seed: int,
        follow: Follow,
    ) -> np.ndarray:
        """Train a mask.

        Args:
            model: The model.
            data: Training prompts.
            units: What is masked.
            price: Price of a mask that takes every unit, by steps done.
            ablation: What ablated units are replaced by.
            seed: Of batches and masks.
            follow: Told after every step.

        Returns:
            Logits [groups]; the mask takes those above 0.
        """
        generator = torch.Generator().manual_seed(seed)
        batches = data.picks(self.removal_rows, self.utility_rows, generator)
        noise = mask_generator(model.device, generator)
        logits = torch.full((len(units),), self.start, device=model.device, requires_grad=True)
        optimiser = torch.optim.Adam([logits], lr=self.learning_rate, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        for step in range(self.steps):
            picks = next(batches)
            mask = draw_masks(logits, len(picks), self.temperature, noise)
            units_mask = units.expand(mask)
            slope, outcome = learn_from(
                model, data, picks, units_mask, ablation, utility_weight=self.utility_weight
            )
            paid = price(step) * logits.sigmoid().mean()
            (logits.grad,) = torch.autograd.grad([units_mask, paid], logits, [slope, None])
            optimiser.step()
            if self.decay:
                schedule.step()
            follow(step + 1, logits.detach().cpu().numpy().copy(), outcome)
        return logits.detach().cpu().numpy().copy()


def draw_masks(logits: Tensor, rows: int, temperature: float, generator: torch.Generator) -> Tensor:
    """Random binary masks [rows groups] with straight-through gradients in the logits [groups].

    1 ablates; a group is ablated with the probability sigmoid(logit).
    """
    uniform = torch.rand((rows, len(logits)), generator=generator, device=generator.device).clamp(
        1e-6, 1 - 1e-6
    )
    soft = torch.sigmoid((logits + uniform.logit()) / temperature)
    hard = (soft > 0.5).float()
    # In this order the second summand is exactly 0, so that masks are exactly 0 or 1.
    return hard + (soft - soft.detach())


def between_0_and_1(logits: np.ndarray) -> np.ndarray:
    """Logits squeezed into (0, 1) in the same order, 0 at 1/2; slower than a sigmoid to saturate.

    Returns:
        float64, of the shape given.
    """
    wide = np.asarray(logits, dtype=np.float64)
    return 0.5 + 0.5 * wide / (1 + np.abs(wide))
