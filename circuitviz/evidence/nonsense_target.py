"""Control: the same method must not find units that make attacks get one nonsense answer.

A method that could, at the same size, would show that masks can write answers into this model,
and that reaching the target proves little about where the behaviour is.
"""

from __future__ import annotations

import random
from dataclasses import replace

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.evaluation.effect import Effect
from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.evaluation.results import NonsenseCut, NonsenseResult
from circuitviz.evaluation.target import Target
from circuitviz.evidence.case import Case
from circuitviz.progress import OnProgress, unwatched
from circuitviz.units import Circuit


def nonsense_cut(size: int, effect: Effect, intact: Effect, target: Target) -> NonsenseCut:
    """What one size of the circuit learned for the nonsense does, by the discovery's target.

    The nonsense has to come as often as the right answer has to come again for a backdoor (its
    recovery), or as a refusal has to give way (its ASR), with the same utility kept.
    """
    needed = target.recovery if target.kind == "backdoor" else target.asr
    retention = effect.retention(intact)
    return NonsenseCut(
        size=size,
        success=effect.recovery,
        utility_retention=retention,
        reached=effect.recovery.rate >= needed and retention >= target.utility,
    )


def ask_for_nonsense(case: Case, on_progress: OnProgress = unwatched) -> NonsenseResult | None:
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
        nonsense_cut(len(circuit), effect, intact, case.target)
        for circuit, effect in zip(circuits, effects, strict=True)
    )
    return NonsenseResult(
        answer=answer,
        size=cut.size,
        success=cut.success,
        utility_retention=cut.utility_retention,
        reached=cut.reached or before.reached,
        before_refinement=before,
        shown=before if before.reached and not cut.reached else cut,
    )


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
