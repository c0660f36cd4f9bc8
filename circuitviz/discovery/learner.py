"""What every way of finding a circuit has in common: data in, a score per unit out.

Modules of learners are read by everything that lists methods, so torch, which takes seconds to
import, is imported there inside functions only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np

from circuitviz.units import Granularity

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float

    from circuitviz.behaviours.behaviour import Behaviour
    from circuitviz.discovery.training.masks import UnitGroups
    from circuitviz.discovery.training.objective import Objective, TrainingRows
    from circuitviz.models.ablation import Ablation
    from circuitviz.models.model import GatedModel


@dataclass(frozen=True)
class LearningStep:
    """Where learning stands.

    Attributes:
        step: Steps done: of an optimiser, or else batches of whatever is measured.
        losses: Latest losses by name, nats per answer token; empty where nothing is learned.
        scores: In flat order; higher is more responsible for the behaviour.
        steps: Steps in all.
        critical_size: How many units it takes at the moment to make the behaviour begin to
            vanish; None where the learner does not follow that.
    """

    step: int
    losses: dict[str, float]
    scores: Float[np.ndarray, " units"]
    steps: int
    critical_size: float | None = None


@dataclass(frozen=True)
class LearnedScores:
    """What a learner returns.

    Attributes:
        scores: In flat order; the best k units are the circuit of size k.  Finite, also where a
            unit may be in no circuit; those come last.
        curve: Loss histories by name, and `step`; all of one length.
    """

    scores: Float[np.ndarray, " units"]
    curve: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class LearningTask:
    """What the units of a model are scored for.

    Attributes:
        model: Whose units to score; its weights stay as they are.
        behaviour: What the units are looked for to explain.
        ablation: What an ablated unit is replaced by.
        seed: Seed of all random draws.
        granularity: What a circuit may be made of; units of one group get one score.
    """

    model: GatedModel
    behaviour: Behaviour
    ablation: Ablation
    seed: int
    granularity: Granularity = "both"

    @cached_property
    def units(self) -> UnitGroups:
        """The units in the groups that get one score each."""
        from circuitviz.discovery.training.masks import UnitGroups

        return UnitGroups(self.model.space, self.granularity)

    @cached_property
    def data(self) -> TrainingRows:
        """The training prompts, tokenised."""
        from circuitviz.discovery.training.objective import TrainingRows

        return TrainingRows.of(self.model, self.behaviour)

    def objective(self, utility_weight: float) -> Objective:
        """What gradient learners minimise, with this weight on what must stay."""
        from circuitviz.discovery.training.objective import Objective

        return Objective(self.model, self.data, self.ablation, utility_weight)

    def generator(self) -> torch.Generator:
        """A new source of random draws, the same for the same seed."""
        import torch

        return torch.Generator().manual_seed(self.seed)


class MaskLearner(ABC):
    """One method of finding a circuit: its settings are its fields, `learn` computes.

    A new one is one module of this package with a frozen dataclass under a `Method`; commands,
    forms and plots take it from there.  Of what a configuration sets, `steps`, `budget`
    and `l1_weight`, it gets what it has as fields.
    """

    method: ClassVar[Method]

    @abstractmethod
    def search(self, task: LearningTask) -> Iterator[LearningStep]:
        """Score every unit, from training prompts only; the same for the same seed.

        Yields:
            Where learning stands after every step; the last scores are the result.
        """

    def learn(
        self,
        model: GatedModel,
        behaviour: Behaviour,
        *,
        ablation: Ablation,
        seed: int,
        granularity: Granularity = "both",
        on_progress: Callable[[LearningStep], None] = lambda step: None,
    ) -> LearnedScores:
        """Carry out `search`, and keep how the losses went.

        Args:
            model: See `LearningTask`, as of all but the last.
            behaviour: See there.
            ablation: See there.
            seed: See there.
            granularity: See there.
            on_progress: Called after every step; may raise `JobCancelledError` to stop.
        """
        scores = np.zeros(len(model.space), dtype=np.float32)
        curve: dict[str, list[float]] = defaultdict(list)
        for step in self.search(LearningTask(model, behaviour, ablation, seed, granularity)):
            scores = step.scores
            if step.losses:
                curve["step"].append(len(curve["step"]) + 1.0)
            for name, value in step.losses.items():
                curve[name].append(value)
            on_progress(step)
        return LearnedScores(scores, dict(curve))


L = TypeVar("L", bound=type[MaskLearner])

# By the names of their methods.
LEARNERS: dict[str, type[MaskLearner]] = {}


@dataclass(frozen=True)
class Method:
    """What people read about a method; decorates its learner, and so makes it known.

    Attributes:
        name: What commands and configurations call it.
        title: Name for people.
        summary: One sentence: what a unit's score means.
        paper: `Authors (year), title, where`.
        order: Where lists show it: low numbers first.
        seeded: Whether another seed can give other scores.
        reads_answers: Whether scores depend on what prompts should be answered.
        steps_help: What an optimiser step is, where masks are learned and `steps` is a setting.
        has_losses: Whether every step has losses, so that their chart is drawn from the start.
        circuitkit: The algorithm nearest to it of those that CircuitKit's format knows: learned
            masks are nearest to its information bottleneck masks.
    """

    name: str
    title: str
    summary: str
    paper: str
    order: int = 100
    seeded: bool = True
    reads_answers: bool = True
    steps_help: str | None = None
    has_losses: bool = False
    circuitkit: str = "ibcircuit"

    @property
    def has_steps(self) -> bool:
        """Whether masks are learned, and how many optimiser steps that takes is a setting."""
        return self.steps_help is not None

    def __call__(self, learner: L) -> L:
        """Register a learner under this name.

        Raises:
            ValueError: Another learner has it.
        """
        if self.name in LEARNERS:
            raise ValueError(f"two learners are called {self.name}; rename one of them")
        learner.method = self
        LEARNERS[self.name] = learner
        return learner
