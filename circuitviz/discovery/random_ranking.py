"""Random scores: what any method has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.discovery.learner import LearnedScores, LearningStep, Watch, watch_nothing
from circuitviz.discovery.masks import UnitGroups
from circuitviz.models.ablation import Ablation
from circuitviz.models.model import GatedModel
from circuitviz.units import Granularity


@dataclass(frozen=True)
class RandomLearner:
    """Score every unit, or block, by a uniform random number in [0, 1)."""

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
        """Score every unit, whatever the behaviour is; see `Learner`."""
        units = UnitGroups(model.space, granularity)
        drawn = np.random.default_rng(seed).random(len(units), dtype=np.float32)
        scores = units.spread(drawn)
        watch(LearningStep(1, {}, scores, 1))
        return LearnedScores(scores)
