"""Masks under an L1 weight: one run for each weight, or one while it rises.

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

Masks under an L1 weight, one run for each weight: the SafeSeek objective as it stands.

An L1 weight sets where on the way from small to large circuits a run ends up, and the right one is
not known before; so several are tried, and the masks become one ranking: first what the mask takes
at the highest weight, then what joins at the next, and so on, and among these by the logit.
`PenalisedLearner` says how a mask is trained.

The path of the L1 weight: one mask is learned while the weight rises.

The weight stays low until a mask has formed, which is larger than need be, and then rises by a
constant factor a step.  Units leave in the order in which the mask can do without them, so

    score_u = the last step at which the mask takes u, and the final logit among equals.

Following the solution from one penalty to the next, each started from the last, is the warm-start
path of Friedman, Hastie & Tibshirani (2010, J. Stat. Softw. 33(1), section 2.5), walked from the
dense end.  `PenalisedLearner` says how the mask is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitviz.discovery.learner import LearningStep, LearningTask, MaskLearner, Method

if TYPE_CHECKING:
    from jaxtyping import Float, Int
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


# L1 weights of a mask that takes every unit, nats: from circuits of a few units to a few in a
# hundred.
L1_WEIGHTS = (20.0, 5.0, 1.0)


@Method(
    name="l1",
    title="Masks with an L1 weight",
    summary="One mask is learned under a price per unit; a unit scores by the highest price at "
    "which the mask still takes it, one run for each price.",
    paper="Yu et al. (2026), SafeSeek: universal attribution of safety circuits in language "
    "models, arXiv:2603.23268",
    order=2,
    steps_help="Optimiser steps of mask learning, for each weight.",
    has_losses=True,
)
@dataclass(frozen=True)
class L1Learner(PenalisedLearner):
    """Learn a mask under an L1 weight, or one for each of several.

    Attributes:
        l1_weight: The weight; None takes `L1_WEIGHTS`.
    """

    l1_weight: float | None = None

    def search(self, task: LearningTask) -> Iterator[LearningStep]:
        """Score every unit, one mask after the other; see `MaskLearner`."""
        weights = L1_WEIGHTS if self.l1_weight is None else (self.l1_weight,)
        steps = len(weights) * self.steps
        masks: list[np.ndarray] = []
        for number, weight in enumerate(weights):
            training = self.train_mask(task, lambda step, weight=weight: weight)
            for step, (logits, losses) in enumerate(training, 1 + number * self.steps):
                masks[number:] = [logits]
                yield LearningStep(step, losses, task.units.spread(rank_masks(masks)), steps)


def rank_masks(masks: Sequence[Float[np.ndarray, " groups"]]) -> Float[np.ndarray, " groups"]:
    """Scores of masks, given by their logits, the highest L1 weight first.

    A group in mask j of n scores n - j and something between 0 and 1 by its logit there, whatever
    comes later; one in no mask scores below 1 by the last mask's logit.
    """
    scores = between_0_and_1(masks[-1])
    for above, logits in enumerate(reversed(masks), 1):
        scores = np.where(logits > 0, above + between_0_and_1(logits), scores)
    return scores


@Method(
    name="l1-path",
    title="Path of the L1 weight",
    summary="One mask is learned while the price per unit rises; a unit scores by how late it "
    "leaves the mask.",
    paper="Friedman, Hastie & Tibshirani (2010), Regularization paths for generalized linear "
    "models via coordinate descent, Journal of Statistical Software 33(1)",
    order=3,
    steps_help="Optimiser steps, over which the weight rises.",
    has_losses=True,
)
@dataclass(frozen=True)
class L1PathLearner(PenalisedLearner):
    """Learn one mask while its L1 weight rises.

    Attributes:
        decay: Off: a unit that has to leave late must be able to.
        l1_weights: Of a mask that takes every unit: at the beginning and at the last step.
        settling: Share of the steps at the first weight.
    """

    decay: bool = False
    l1_weights: tuple[float, float] = (1.0, 200.0)
    settling: float = 0.3

    def search(self, task: LearningTask) -> Iterator[LearningStep]:
        """Score every unit, step by step of the path; see `MaskLearner`."""
        last = np.zeros(len(task.units), dtype=np.int64)
        for step, (logits, losses) in enumerate(self.train_mask(task, self.l1_weight_at), 1):
            last[logits > 0] = step
            scores = task.units.spread(leaving_order(last, logits))
            yield LearningStep(step, losses, scores, self.steps)

    def l1_weight_at(self, step: int) -> float:
        """The L1 weight after so many steps done."""
        low, high = self.l1_weights
        settled = self.settling * self.steps
        rising = max(1.0, self.steps - 1 - settled)
        return low * (high / low) ** min(1.0, max(0.0, (step - settled) / rising))


def leaving_order(
    last: Int[np.ndarray, " groups"], logits: Float[np.ndarray, " groups"]
) -> Float[np.ndarray, " groups"]:
    """Scores: the last step in the mask, then the final logit."""
    return last + between_0_and_1(logits)
