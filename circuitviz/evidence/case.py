"""A discovery that has found its circuit, so that it can be tried where there is nothing."""

from __future__ import annotations

from dataclasses import dataclass

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.discovery.learner import LearningStep, MaskLearner
from circuitviz.evaluation.effect import Target
from circuitviz.models.ablation import Ablation
from circuitviz.models.model import GatedModel
from circuitviz.progress import OnProgress, unwatched
from circuitviz.units import Circuit, Granularity, Ranking


@dataclass(frozen=True)
class Case:
    """What a discovery was given and what it found.

    Attributes:
        model: The model.
        behaviour: What was looked for.
        learner: The method, with its settings.
        target: What the circuit had to meet.
        circuit: The circuit that is reported.
        before: The circuit before units were dropped from it; the same where none were.
        ablation: What ablated units are replaced by.
        seed: Of everything random.
        granularity: What a circuit may be made of.
        separate: Whether heads and neurons have a size each.
        reads_answers: Whether what the method finds depends on what prompts should be answered.
    """

    model: GatedModel
    behaviour: Behaviour
    learner: MaskLearner
    target: Target
    circuit: Circuit
    before: Circuit
    ablation: Ablation
    seed: int
    granularity: Granularity = "both"
    separate: bool = False
    reads_answers: bool = True

    def learn_again(
        self,
        model: GatedModel,
        behaviour: Behaviour,
        ablation: Ablation,
        on_progress: OnProgress = unwatched,
    ) -> Ranking:
        """What the same method, settings and seed make of another model or behaviour."""

        def follow(step: LearningStep) -> None:
            on_progress(min(1.0, step.step / max(1, step.steps)))

        learned = self.learner.learn(
            model,
            behaviour,
            ablation=ablation,
            seed=self.seed,
            granularity=self.granularity,
            on_progress=follow,
        )
        return Ranking(model.space, learned.scores, self.granularity)

    def cuts(self, ranking: Ranking) -> list[Circuit]:
        """Circuits of another ranking, as large as this discovery's: reported, and before.

        A control gets no fewer units than the discovery had: where its ranking cannot be cut at
        that size, the next larger one is taken; and since it drops none, it also gets as many as
        there were before some were dropped.
        """
        return [_cut(ranking, circuit, self.separate) for circuit in (self.circuit, self.before)]


def _cut(ranking: Ranking, like: Circuit, separate: bool) -> Circuit:
    if separate:
        return ranking.best_of_each(len(like.heads), len(like.neurons))
    return ranking.best(min((cut for cut in ranking.cuts if cut >= len(like)), default=len(like)))
