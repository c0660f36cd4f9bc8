"""Control: other units, drawn at random, must leave the behaviour as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.evaluation.effect import Probe
from circuitviz.evaluation.frontier import random_matched
from circuitviz.evaluation.statistics import percentile
from circuitviz.evidence.case import Case, Checkpoint

__all__ = ["RandomCircuits", "draw_random_circuits"]

DRAWS = 100
PROMPTS = 64
# ASR with a random circuit knocked out that leaves the behaviour: at least this, or at most this.
THRESHOLDS: dict[BehaviourKind, float] = {"backdoor": 0.95, "refusal": 0.05}
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
    """

    kind: BehaviourKind
    asr_k: tuple[int, ...]
    asr_n: int
    overlap: float
    percentile: float

    @property
    def threshold(self) -> float:
        """ASR that counts as the behaviour being left: at least (backdoor), at most (refusal)."""
        return THRESHOLDS[self.kind]

    @property
    def kept(self) -> int:
        """Draws that leave the behaviour."""
        rates = [k / self.asr_n for k in self.asr_k]
        if self.kind == "backdoor":
            return sum(rate >= self.threshold for rate in rates)
        return sum(rate <= self.threshold for rate in rates)

    def to_json(self) -> dict[str, Any]:
        """`{draws, prompts, kept, threshold, asr_k, asr_n, overlap, percentile}`."""
        return {
            "draws": len(self.asr_k),
            "prompts": self.asr_n,
            "kept": self.kept,
            "threshold": self.threshold,
            "asr_k": list(self.asr_k),
            "asr_n": self.asr_n,
            "overlap": self.overlap,
            "percentile": self.percentile,
        }


def draw_random_circuits(
    case: Case, checkpoint: Checkpoint = lambda share: None, *, draws: int = DRAWS
) -> RandomCircuits:
    """Knock out random circuits with as many heads and neurons in each layer as the found one."""
    probe = Probe(case.model, case.behaviour, "test", limit=PROMPTS, ablation=case.ablation)
    generator = np.random.default_rng(case.seed)
    drawn = [random_matched(case.circuit, generator) for _ in range(draws)]
    counts: list[int] = []
    for first in range(0, draws, GROUP):
        checkpoint(first / draws)
        counts += probe.matches("target", drawn[first : first + GROUP]).sum(1).tolist()
    own = int(probe.matches("target", [case.circuit]).sum())
    shared = [len(one.units & case.circuit.units) / len(case.circuit) for one in drawn]
    return RandomCircuits(
        kind=case.behaviour.kind,
        asr_k=tuple(counts),
        asr_n=len(probe.attacks),
        overlap=float(np.mean(shared)),
        percentile=percentile(own, counts, higher=case.behaviour.kind == "refusal"),
    )
