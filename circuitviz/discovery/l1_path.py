"""The path of the price: one mask is learned while the price per unit rises.

The price stays low until a mask has formed, which is larger than need be, and then rises by a
constant factor a step.  Units leave in the order in which the mask can do without them, so

    score_u = the last step at which the mask takes u, and the final logit among equals.

Following the solution from one penalty to the next, each started from the last, is the warm-start
path of Friedman, Hastie & Tibshirani (2010, J. Stat. Softw. 33(1), section 2.5), walked from the
dense end.  `MaskTraining` says how the mask is trained.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.discovery.learner import LearnedScores, LearningStep, Watch, watch_nothing
from circuitviz.discovery.masks import UnitGroups
from circuitviz.discovery.objective import Outcome, TrainingRows
from circuitviz.discovery.penalised import MaskTraining, between_0_and_1
from circuitviz.models.ablation import Ablation
from circuitviz.models.model import GatedModel
from circuitviz.units import Granularity


@dataclass(frozen=True)
class L1PathLearner:
    """Learn one mask while its price rises.

    Attributes:
        prices: Of a mask that takes every unit: at the beginning and at the last step.
        settling: Share of the steps at the first price.
        training: How the mask is trained; the learning rate does not fall, as a unit that has to
            leave late must be able to.
    """

    prices: tuple[float, float] = (1.0, 200.0)
    settling: float = 0.3
    training: MaskTraining = field(default_factory=lambda: MaskTraining(decay=False))

    def learn(
        self,
        model: GatedModel,
        behaviour: Behaviour,
        *,
        ablation: Ablation,
        seed: int,
        granularity: Granularity = "both",
        watch: Watch = watch_nothing,
    ) -> LearnedScores:
        """Score every unit from training prompts only; see `Learner`."""
        data = TrainingRows.of(model, behaviour)
        units = UnitGroups(model.space, granularity)
        last = np.zeros(len(units), dtype=np.int64)
        curve: dict[str, list[float]] = {"step": [], "removal": [], "utility": []}

        def follow(step: int, logits: np.ndarray, outcome: Outcome) -> None:
            last[logits > 0] = step
            values = outcome.values()
            for name, value in {"step": float(step), **values}.items():
                curve[name].append(value)
            scores = units.spread(leaving_order(last, logits))
            watch(LearningStep(step, values, scores, self.training.steps))

        logits = self.training.train(
            model, data, units, price=self.price, ablation=ablation, seed=seed, follow=follow
        )
        return LearnedScores(units.spread(leaving_order(last, logits)), curve)

    def price(self, step: int) -> float:
        """The price after so many steps done."""
        low, high = self.prices
        settled = self.settling * self.training.steps
        rising = max(1.0, self.training.steps - 1 - settled)
        return low * (high / low) ** min(1.0, max(0.0, (step - settled) / rising))


def leaving_order(last: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Scores [groups]: the last step [groups] in the mask, then the final logit [groups]."""
    return last + between_0_and_1(logits)
