"""Masks under an L1 weight, one run for each weight: the SafeSeek objective as it stands.

An L1 weight sets where on the way from small to large circuits a run ends up, and the right one is
not known before; so several are tried, and the masks become one ranking: first what the mask takes
at the highest weight, then what joins at the next, and so on, and among these by the logit.
`PenalisedLearner` says how a mask is trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitviz.discovery.learner import LearningStep, LearningTask, Method
from circuitviz.discovery.penalised import PenalisedLearner, between_0_and_1

if TYPE_CHECKING:
    from jaxtyping import Float

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
