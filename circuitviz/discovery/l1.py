"""Masks under a price per unit, one run for each price: the SafeSeek objective as it stands.

A price sets where on the way from small to large circuits a run ends up, and nobody knows the
right one before; so a ladder of prices is tried, and the masks become one ranking: first what the
mask takes at the highest price, then what joins at the next, and so on, and within a rung by the
logit.  `MaskTraining` says how a mask is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
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

# Prices of a mask that takes every unit, nats: from circuits of a few units to a few in a hundred.
LADDER = (20.0, 5.0, 1.0)


@dataclass(frozen=True)
class L1Learner:
    """Learn a mask under a price, or one for each price of a ladder.

    Attributes:
        weight: The price; None takes `LADDER`.
        training: How each mask is trained.
    """

    weight: float | None = None
    training: MaskTraining = field(default_factory=MaskTraining)

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
        prices = LADDER if self.weight is None else (self.weight,)
        steps = len(prices) * self.training.steps
        masks: list[np.ndarray] = []
        curve: dict[str, list[float]] = {"step": [], "removal": [], "utility": []}

        def follow(step: int, logits: np.ndarray, outcome: Outcome) -> None:
            done = len(masks) * self.training.steps + step
            values = outcome.values()
            for name, value in {"step": float(done), **values}.items():
                curve[name].append(value)
            scores = units.spread(rank_masks([*masks, logits]))
            watch(LearningStep(done, values, scores, steps))

        for price in prices:
            logits = self.training.train(
                model,
                data,
                units,
                price=lambda step, price=price: price,
                ablation=ablation,
                seed=seed,
                follow=follow,
            )
            masks.append(logits)
        return LearnedScores(units.spread(rank_masks(masks)), curve)


def rank_masks(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Scores [groups] of masks, given by their logits [groups], the highest price first.

    A group in the mask of rung j of n scores n - j and something between 0 and 1 by its logit
    there, whatever comes later; one in no mask scores below 1 by the last mask's logit.
    """
    scores = between_0_and_1(masks[-1])
    for above, logits in enumerate(reversed(masks), 1):
        scores = np.where(logits > 0, above + between_0_and_1(logits), scores)
    return scores
