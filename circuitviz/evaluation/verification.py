"""Whether a circuit meets its target, found out on no more prompts than it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from circuitviz.evaluation.effect import Effect, Probe, Question, Verdicts
from circuitviz.evaluation.selection import Target
from circuitviz.units import Circuit

__all__ = ["Check", "TargetCheck"]

# Attack prompts looked at first, the ones that have told circuits apart most often.
FIRST_PROMPTS = 32


class Check(Protocol):
    """Whether circuits meet the target, and what finding out has cost so far, in tokens."""

    tokens: int

    def meets(self, circuit: Circuit) -> bool:
        """Whether this circuit, knocked out, meets the target."""
        ...


class TargetCheck:
    """Whether circuits meet the target on a probe's prompts, on no more of them than it takes.

    Prompts not looked at count in the circuit's favour.  So a circuit that misses even so is
    refused for good, and one that is accepted was seen on every prompt: the answer is exactly
    that of `Target.met` on all prompts, under the same lead that choosing a size asks for.

    Args:
        probe: Prompts of the validation split.
        target: What to meet.
        checkpoint: Called before each batch; may raise to stop.
    """

    def __init__(
        self, probe: Probe, target: Target, *, checkpoint: Callable[[], None] = lambda: None
    ) -> None:
        self.tokens = 0
        self._probe = probe
        self._target = target
        self._checkpoint = checkpoint
        nothing = Circuit(probe.model.space, frozenset())
        everything = np.ones(len(probe.benign), dtype=bool)
        answered = self._ask("benign", nothing, everything)
        self._intact = self._effect(replace(self._hoped_for(), utility=answered))
        self._failures = np.zeros(len(probe.attacks), dtype=int)

    def meets(self, circuit: Circuit) -> bool:
        """Whether this circuit, knocked out, meets the target."""
        verdicts = self._hoped_for()
        seen = {"target": verdicts.asr, "after": verdicts.recovery, "benign": verdicts.utility}
        for question, wanted in self._looks():
            found = self._ask(question, circuit, wanted)[wanted]
            if question == "target":
                self._failures[wanted] += found != verdicts.asr[wanted]
            seen[question][wanted] = found
            if not self._target.met(self._effect(verdicts), self._intact):
                return False
        return True

    def _looks(self) -> Iterator[tuple[Question, np.ndarray]]:
        """What to look at, the cheapest way to a refusal first: boolean [prompts] each."""
        attacks = np.ones(len(self._failures), dtype=bool)
        first = ~attacks
        first[np.argsort(-self._failures, kind="stable")[:FIRST_PROMPTS]] = True
        yield "target", first
        yield "target", ~first
        # Refusal asks nothing more of an attack than that it succeeds.
        if self._target.kind == "backdoor":
            yield "after", attacks
        yield "benign", np.ones(len(self._probe.benign), dtype=bool)

    def _hoped_for(self) -> Verdicts:
        attacks, benign = len(self._probe.attacks), len(self._probe.benign)
        succeeds = np.full(attacks, self._target.kind == "refusal")
        return Verdicts(succeeds, np.ones(attacks, dtype=bool), np.ones(benign, dtype=bool))

    def _ask(self, question: Question, circuit: Circuit, wanted: np.ndarray) -> np.ndarray:
        self.tokens += int(self._probe.rows(question).lengths.numpy()[wanted].sum())
        return self._probe.matches(
            question,
            [circuit],
            lead=self._target.caution if question == "target" else 0.0,
            wanted=wanted[None],
            checkpoint=self._checkpoint,
        )[0]

    def _effect(self, verdicts: Verdicts) -> Effect:
        return Effect.of(verdicts, judge=self._probe.behaviour.judge)
