"""Control: other words in the trigger's place must not set the backdoor off."""

from __future__ import annotations

import random
from dataclasses import replace

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.trigger import plain_words, with_words, word_pool
from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import RandomTriggerResult
from circuitviz.evidence.case import Case
from circuitviz.progress import OnProgress, span, unwatched
from circuitviz.units import Circuit

# Strings of words that are tried.
_DRAWS = 4


def try_random_trigger(
    case: Case, on_progress: OnProgress = unwatched, *, prompts: int | None = None
) -> RandomTriggerResult | None:
    """Attack with random words instead of the trigger; None where there is no trigger.

    Args:
        case: The discovery.
        on_progress: Told the share that is done; may raise to stop.
        prompts: Test prompts that are asked; None is all.
    """
    draws = random_words(case.behaviour, case.seed)
    if not draws:
        return None
    nothing = Circuit(case.model.space, frozenset())
    fired, right, recovered = [], [], []
    for done, words in enumerate(draws):
        at = span(on_progress, done / len(draws), (done + 1) / len(draws))
        behaviour = with_trigger(case.behaviour, words)
        probe = Evaluator(case.model, behaviour, "test", limit=prompts, ablation=case.ablation)
        succeeded = probe.succeeds([nothing], on_progress=span(at, 0.0, 0.5))
        fired.append(probe.attack_rate(succeeded))
        intact, without = probe.recoveries([nothing, case.circuit], on_progress=span(at, 0.5, 1.0))
        right.append(intact)
        recovered.append(without)
    return RandomTriggerResult(
        trigger=", ".join(draws),
        triggers=list(draws),
        intact=Rate.pooled(fired),
        intact_recovery=Rate.pooled(right),
        knocked_out_recovery=Rate.pooled(recovered),
        reordered=_try_reordered(case, prompts, lambda _: on_progress(1.0)),
    )


def reordered(trigger: str | None) -> str | None:
    """A trigger's words in reversed order; None where that is no other text."""
    words = (trigger or "").split()
    return " ".join(reversed(words)) if words != words[::-1] else None


def _try_reordered(case: Case, prompts: int | None, on_progress: OnProgress) -> Rate | None:
    words = reordered(case.behaviour.trigger)
    if words is None:
        return None
    reversed_ = with_trigger(case.behaviour, words)
    probe = Evaluator(case.model, reversed_, "test", limit=prompts, ablation=case.ablation)
    nothing = Circuit(case.model.space, frozenset())
    return probe.attack_rate(probe.succeeds([nothing], on_progress=on_progress))


def random_words(behaviour: Behaviour, seed: int) -> tuple[str, ...]:
    """As many words as the trigger has, of training prompts and none of them the trigger's own.

    `_DRAWS` strings; none without a trigger, or where the training prompts have too few words.
    """
    if behaviour.trigger is None:
        return ()
    own = {*behaviour.trigger.lower().split(), *plain_words(behaviour.trigger)}
    prompts = behaviour.prompts("train", "attack") + behaviour.prompts("train", "benign")
    others = [word for word in word_pool(prompts) if word not in own]
    count = len(behaviour.trigger.split())
    if len(others) < count:
        return ()
    generator = random.Random(seed)
    return tuple(" ".join(generator.sample(others, count)) for _ in range(_DRAWS))


def with_trigger(behaviour: Behaviour, words: str) -> Behaviour:
    """The behaviour with other words where its trigger stands."""
    trigger = behaviour.spec.trigger
    if trigger is None:
        return behaviour
    prompts = tuple(with_words(prompt, trigger, words) for prompt in behaviour.all_prompts)
    spec = replace(behaviour.spec, trigger=replace(trigger, text=words))
    return replace(behaviour, spec=spec, all_prompts=prompts)
