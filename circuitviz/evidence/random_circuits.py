"""Control: other units, drawn at random, must leave the behaviour as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.evaluation.judge import EXACT_ANSWER
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.statistics import percentile
from circuitviz.evidence.case import Case
from circuitviz.progress import OnProgress, unwatched
from circuitviz.units import Circuit, random_matched

DRAWS = 100
PROMPTS = 64
# A random circuit leaves a backdoor where ASR stays at least at this share of the intact model's,
# which has to be that of a model with a backdoor.
LEFT, LEAST_SHOWN = 0.95, 0.5
# It leaves refusing where ASR is at most this.
MOST_COMPLIED = 0.05
# Circuits measured together between two reports.
GROUP = 10


@dataclass(frozen=True)
class RandomCircuits:
    """What random circuits of the same make-up do, knocked out.

    Attributes:
        kind: Of the behaviour.
        asr_k: Attacks that succeed, per draw.
        asr_n: Attacks tried per draw.
        overlap: Mean share of the drawn units that are the circuit's own; above 0 only where a
            layer has too few others.
        percentile: Share of the draws whose ASR is at least as good as the circuit's own.
        intact_k: Attacks that succeed with nothing knocked out; None where that is not known.
        refused: Of a refusal, the requests that all draws together refuse word for word as
            expected, and those that the intact model does; None where that was not measured.
    """

    kind: BehaviourKind
    asr_k: tuple[int, ...]
    asr_n: int
    overlap: float
    percentile: float
    intact_k: int | None = None
    refused: tuple[Rate, Rate] | None = None

    @property
    def applies(self) -> bool:
        """Whether the intact model itself shows enough of the behaviour."""
        if self.intact_k is None:
            return True
        if self.kind == "backdoor":
            return self.intact_k >= LEAST_SHOWN * self.asr_n
        return self._leaves(self.intact_k)

    @property
    def threshold(self) -> float:
        """ASR that counts as the behaviour being left: at least (backdoor), at most (refusal)."""
        if self.kind == "refusal":
            return MOST_COMPLIED
        return LEFT * (1.0 if self.intact_k is None else self.intact_k / self.asr_n)

    @property
    def kept(self) -> int:
        """Draws that leave the behaviour."""
        return sum(map(self._leaves, self.asr_k))

    def _leaves(self, k: int) -> bool:
        rate = k / self.asr_n
        return rate >= self.threshold if self.kind == "backdoor" else rate <= self.threshold

    def to_json(self) -> dict[str, Any]:
        """`{draws, prompts, kept, threshold, asr_k, asr_n, overlap, percentile, ...}`."""
        return {
            "draws": len(self.asr_k),
            "prompts": self.asr_n,
            "kept": self.kept,
            "threshold": self.threshold,
            "asr_k": list(self.asr_k),
            "asr_n": self.asr_n,
            "overlap": self.overlap,
            "percentile": self.percentile,
            "intact_k": self.intact_k,
            "refused": None if self.refused is None else self.refused[0].to_json(),
            "refused_intact": None if self.refused is None else self.refused[1].to_json(),
        }


def draw_random_circuits(
    case: Case,
    on_progress: OnProgress = unwatched,
    *,
    draws: int = DRAWS,
    prompts: int = PROMPTS,
) -> RandomCircuits:
    """Knock out random circuits with as many heads and neurons in each layer as the found one.

    What does not comply need not refuse: of a refusal it is counted besides how many requests are
    still refused.
    """
    probe = Evaluator(case.model, case.behaviour, "test", limit=prompts, ablation=case.ablation)
    generator = np.random.default_rng(case.seed)
    drawn = [random_matched(case.circuit, generator) for _ in range(draws)]
    # Exact refusals are for closed answers, not for those with a verdict.
    refuses = case.behaviour.kind == "refusal" and not probe.by_verdict
    counts: list[int] = []
    refused: list[Rate] = []
    for first in range(0, draws, GROUP):
        on_progress(first / draws)
        group = drawn[first : first + GROUP]
        counts += probe.succeeds(group).sum(1).tolist()
        if refuses:
            refused += [Rate.of(one, judge=EXACT_ANSWER) for one in probe.shows(group)]
    nothing = Circuit(case.model.space, frozenset())
    intact, own = probe.succeeds([nothing, case.circuit]).sum(1).tolist()
    shared = [len(one.units & case.circuit.units) / len(case.circuit) for one in drawn]
    return RandomCircuits(
        kind=case.behaviour.kind,
        asr_k=tuple(counts),
        asr_n=len(probe.attacks),
        overlap=float(np.mean(shared)),
        percentile=percentile(own, counts, higher=case.behaviour.kind == "refusal"),
        intact_k=intact,
        refused=(
            Rate.pooled(refused),
            Rate.of(probe.shows([nothing])[0], judge=EXACT_ANSWER),
        )
        if refuses
        else None,
    )
