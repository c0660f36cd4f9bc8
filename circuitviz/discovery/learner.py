"""What every way of finding a circuit has in common: data in, a score per unit out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.models.ablation import Ablation
from circuitviz.models.model import GatedModel

__all__ = ["LearnedScores", "Learner", "LearningStep", "watch_nothing"]


@dataclass(frozen=True)
class LearningStep:
    """Where learning stands.

    Attributes:
        step: Optimiser steps done.
        losses: Latest losses by name, nats per answer token.
        scores: [units] in flat order; higher is more responsible for the behaviour.
        edge: How many units it takes at the moment to make the behaviour begin to vanish; None
            where the learner does not follow that.
    """

    step: int
    losses: dict[str, float]
    scores: np.ndarray
    edge: float | None = None


@dataclass(frozen=True)
class LearnedScores:
    """What a learner returns.

    Attributes:
        scores: [units] in flat order; the best k units are the circuit of size k.
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
        watch: Watch = watch_nothing,
    ) -> LearnedScores:
        """Score every unit, from training prompts only; the same for the same seed."""
        ...
