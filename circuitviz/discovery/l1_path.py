"""The path of the L1 weight: one mask is learned while the weight rises.

The weight stays low until a mask has formed, which is larger than need be, and then rises by a
constant factor a step.  Units leave in the order in which the mask can do without them, so

    score_u = the last step at which the mask takes u, and the final logit among equals.

Following the solution from one penalty to the next, each started from the last, is the warm-start
path of Friedman, Hastie & Tibshirani (2010, J. Stat. Softw. 33(1), section 2.5), walked from the
dense end.  `PenalisedLearner` says how the mask is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuitviz.discovery.learner import LearningStep, LearningTask, Method
from circuitviz.discovery.penalised import PenalisedLearner, between_0_and_1

if TYPE_CHECKING:
    from jaxtyping import Float, Int


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
