"""What every way of finding a circuit has in common: data in, a score per unit out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.models.ablation import Ablation
from circuitviz.models.model import GatedModel
from circuitviz.units import Granularity


@dataclass(frozen=True)
class LearningStep:
    """Where learning stands.

    Attributes:
        step: Steps done: of an optimiser, or else batches of whatever is measured.
        losses: Latest losses by name, nats per answer token; empty where nothing is learned.
        scores: [units] in flat order; higher is more responsible for the behaviour.
        steps: Steps in all.
        edge: How many units it takes at the moment to make the behaviour begin to vanish; None
            where the learner does not follow that.
    """

    step: int
    losses: dict[str, float]
    scores: np.ndarray
    steps: int
    edge: float | None = None


@dataclass(frozen=True)
class LearnedScores:
    """What a learner returns.

    Attributes:
        scores: [units] in flat order; the best k units are the circuit of size k.  Finite, also
            where a unit may be in no circuit; those come last.
        curve: Loss histories by name, and `step`; all of one length.
    """

    scores: np.ndarray
    curve: dict[str, list[float]] = field(default_factory=dict)


# Called after every step; may raise JobCancelledError.
Watch = Callable[[LearningStep], None]


def watch_nothing(step: LearningStep) -> None:
    """The watcher that does not look."""


class Learner(Protocol):
    """One method of finding a circuit.  The constructor stores settings, `learn` computes."""

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
        """Score every unit, from training prompts only; the same for the same seed.

        Args:
            model: Whose units to score; its weights stay as they are.
            behaviour: What the units are looked for to explain.
            ablation: What an ablated unit is replaced by.
            seed: Of everything random.
            granularity: What a circuit may be made of; units of one group get one score.
            watch: Told after every step; may raise `JobCancelledError` to stop.
        """
        ...
