"""Training one mask under an L1 weight, which two methods share.

Every row of a batch draws its own binary mask, a unit being ablated where its logit l_u is above
logistic noise, so with probability sigmoid(l_u); backward sees the binary concrete relaxation
(Maddison, Mnih & Teh 2017, arXiv:1611.00712, appendix B) with temperature T:

    forward   m_u = 1[l_u + e_u > 0],  e_u logistic        backward  sigmoid((l_u + e_u) / T)

straight through, as in Bengio et al. (arXiv:1308.3432).  What is minimised is

    removal + utility_weight * utility + l1_weight * mean_u sigmoid(l_u)

the SafeSeek objective (arXiv:2603.23268) with its sparsity term on true heads and neurons: the
mean of sigmoid(l_u) is the expected L1 norm of the mask, as a share of all units.  SafeSeek's own
masks have no noise, and all units start on the same side of the threshold; hard-concrete masks
(Louizos, Welling & Kingma 2018, arXiv:1712.01312) let a unit be ablated by half, where nothing is
learned about ablating it.  Both gave larger circuits on the embedded models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitviz.discovery.learner import LearningTask, MaskLearner

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Generator, Tensor


@dataclass(frozen=True)
class PenalisedLearner(MaskLearner):
    """A learner that trains masks under an L1 weight.

    Attributes:
        steps: Optimiser steps of one mask.
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

    def train_mask(
        self, task: LearningTask, l1_weight: Callable[[int], float]
    ) -> Iterator[tuple[Float[np.ndarray, " groups"], dict[str, float]]]:
        """Train a mask.

        Args:
            task: What is masked, and for what.
            l1_weight: L1 weight of a mask that takes every unit, by steps done.

        Yields:
            Logits after every step, of which the mask takes those above 0, and the losses.
        """
        import torch

        from circuitviz.discovery.training.masks import mask_generator

        generator = task.generator()
        objective, device = task.objective(self.utility_weight), task.model.device
        batches = task.data.batches(self.removal_rows, self.utility_rows, generator)
        noise = mask_generator(device, generator)
        logits = torch.full((len(task.units),), self.start, device=device, requires_grad=True)
        optimiser = torch.optim.Adam([logits], lr=self.learning_rate, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        for step in range(self.steps):
            indices = next(batches)
            mask = task.units.expand(draw_masks(logits, len(indices), self.temperature, noise))
            grad, outcome = objective.grad(indices, mask)
            penalty = l1_weight(step) * logits.sigmoid().mean()
            (logits.grad,) = torch.autograd.grad([mask, penalty], logits, [grad, None])
            optimiser.step()
            if self.decay:
                schedule.step()
            yield logits.detach().cpu().numpy().copy(), outcome.values()


def draw_masks(
    logits: Float[Tensor, " groups"], rows: int, temperature: float, generator: Generator
) -> Float[Tensor, "rows groups"]:
    """Random binary masks with straight-through gradients in the logits.

    1 ablates; a group is ablated with the probability sigmoid(logit).
    """
    from circuitviz.discovery.training.masks import logistic

    noise = logistic((rows, len(logits)), generator)
    soft = ((logits + noise) / temperature).sigmoid()
    # In this order the second summand is exactly 0, so that masks are exactly 0 or 1.
    return (soft > 0.5).float() + (soft - soft.detach())


def between_0_and_1(logits: Float[np.ndarray, " groups"]) -> Float[np.ndarray, " groups"]:
    """Logits squeezed into (0, 1) in the same order, 0 at 1/2; slower than a sigmoid to saturate.

    Returns:
        float64, of the shape given.
    """
    wide = np.asarray(logits, dtype=np.float64)
    return 0.5 + 0.5 * wide / (1 + np.abs(wide))
