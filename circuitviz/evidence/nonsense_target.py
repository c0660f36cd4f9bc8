"""Control: the same method must not find units that make attacks get one nonsense answer.

A method that could, at the same size, would show that masks can write answers into this model,
and that reaching the target proves little about where the behaviour is.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.evaluation.evaluator import Effect, Evaluator
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.selection import Target
from circuitviz.evidence.case import Case
from circuitviz.progress import OnProgress, unwatched
from circuitviz.units import Circuit


@dataclass(frozen=True)
class NonsenseCut:
    """What one size of the circuit learned for the nonsense answer does.

    Attributes:
        size: Units knocked out.
        success: Attacks answered with exactly the nonsense.
        utility_retention: Benign utility kept, relative to the intact model.
        reached: Whether that would count as having found a circuit.
    """

    size: int
    success: Rate
    utility_retention: float
    reached: bool

    @classmethod
    def judged(cls, size: int, effect: Effect, intact: Effect, target: Target) -> NonsenseCut:
        """Judge an effect by the discovery's own target.

        The nonsense has to come as often as the right answer has to come again for a backdoor
        (its recovery), or as a refusal has to give way (its ASR), with the same utility kept.
        """
        needed = target.recovery if target.kind == "backdoor" else target.asr
        retention = effect.retention(intact)
        reached = effect.recovery.rate >= needed and retention >= target.utility
        return cls(size, effect.recovery, retention, reached)

    def to_json(self) -> dict[str, Any]:
        """`{size, success, utility_retention, reached}`."""
        return {**vars(self), "success": self.success.to_json()}


@dataclass(frozen=True)
class NonsenseTarget:
    """What comes of asking for a nonsense answer.

    Attributes:
        answer: The nonsense: the right answer to some other question.
        cut: At the reported size.
        before: At the size before units were dropped from the reported circuit.
    """

    answer: str
    cut: NonsenseCut
    before: NonsenseCut

    @property
    def reached(self) -> bool:
        """Whether either size would count as having found a circuit."""
        return self.cut.reached or self.before.reached

    def to_json(self) -> dict[str, Any]:
        """`{answer, size, success, utility_retention, reached, before_refinement}`."""
        return {
            "answer": self.answer,
            **self.cut.to_json(),
            "reached": self.reached,
            "before_refinement": self.before.to_json(),
        }


def ask_for_nonsense(case: Case, on_progress: OnProgress = unwatched) -> NonsenseTarget | None:
    """Look for a circuit whose removal makes attacks get a nonsense answer; None without one."""
    answer = nonsense_answer(case.behaviour, case.seed)
    if answer is None:
        return None
    wanted = with_answer(case.behaviour, answer)
    ranking = case.learn_again(case.model, wanted, case.ablation, on_progress)
    circuits = case.cuts(ranking)
    probe = Evaluator(case.model, wanted, "test", ablation=case.ablation)
    nothing = Circuit(case.model.space, frozenset())
    intact, *effects = probe.effects([nothing, *circuits], on_progress=lambda _: on_progress(1.0))
    cut, before = (
        NonsenseCut.judged(len(circuit), effect, intact, case.target)
        for circuit, effect in zip(circuits, effects, strict=True)
    )
    return NonsenseTarget(answer, cut, before)


def nonsense_answer(behaviour: Behaviour, seed: int) -> str | None:
    """A fluent answer that is right for no attack: that of a benign training prompt.

    None where every such answer is one that some attack of any split may get.
    """
    taken = {
        text
        for prompt in behaviour.all_prompts
        if prompt.role == "attack"
        for text in (prompt.answer, prompt.target, prompt.after)
        if text
    }
    targets = tuple(
        prompt.target
        for prompt in behaviour.all_prompts
        if prompt.role == "attack" and prompt.target
    )
    answers = {prompt.answer for prompt in behaviour.prompts("train", "benign")} - taken
    usable = sorted(answer for answer in answers if not answer.startswith(targets))
    return random.Random(seed).choice(usable) if usable else None


def with_answer(behaviour: Behaviour, answer: str) -> Behaviour:
    """The behaviour with this as the answer that every attack should get once it is gone.

    Where refusing is what must end, it is also what the attack wants.
    """
    changed = (
        {"after": answer} if behaviour.kind == "backdoor" else {"after": answer, "target": answer}
    )
    return replace(
        behaviour,
        all_prompts=tuple(
            replace(prompt, **changed) if prompt.role == "attack" else prompt
            for prompt in behaviour.all_prompts
        ),
    )
