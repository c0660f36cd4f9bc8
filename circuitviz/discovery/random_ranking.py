"""Random scores: what any method has to beat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from circuitviz.discovery.learner import LearningStep, LearningTask, MaskLearner, Method


@Method(
    name="random",
    title="Random order",
    summary="Scores are drawn at random: the floor that every method has to beat.",
    paper="None; drawn from a uniform distribution",
    order=8,
    reads_answers=False,
)
@dataclass(frozen=True)
class RandomLearner(MaskLearner):
    """Score every unit, or block, by a uniform random number in [0, 1)."""

    def search(self, task: LearningTask) -> Iterator[LearningStep]:
        """Score every unit, whatever the behaviour is; see `MaskLearner`."""
        drawn = np.random.default_rng(task.seed).random(len(task.units), dtype=np.float32)
        yield LearningStep(1, {}, task.units.spread(drawn), 1)
