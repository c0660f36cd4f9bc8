"""Control: other words in the trigger's place must not set the backdoor off."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import Any

from circuitviz.behaviours.behaviour import Behaviour, Trigger
from circuitviz.behaviours.prompt import Prompt
from circuitviz.evaluation.effect import EXACT_ANSWER, Probe
from circuitviz.evaluation.rate import Rate
from circuitviz.evidence.case import Case
from circuitviz.units import Circuit

__all__ = ["RandomTrigger", "random_words", "try_random_trigger", "with_trigger"]


@dataclass(frozen=True)
class RandomTrigger:
    """What random words do in the trigger's place.

    Attributes:
        trigger: The words.
        intact: Attacks that succeed with them, nothing knocked out.
        intact_recovery: Attacks that get exactly the answer of a model without the behaviour,
            nothing knocked out; odd words may spoil some answers by themselves.
        knocked_out_recovery: The same with the circuit knocked out.
    """

    trigger: str
    intact: Rate
    intact_recovery: Rate
    knocked_out_recovery: Rate

    def to_json(self) -> dict[str, Any]:
        """`{trigger, intact, intact_recovery, knocked_out_recovery}`."""
        return {
            "trigger": self.trigger,
            "intact": self.intact.to_json(),
            "intact_recovery": self.intact_recovery.to_json(),
            "knocked_out_recovery": self.knocked_out_recovery.to_json(),
        }


def try_random_trigger(case: Case) -> RandomTrigger | None:
    """Attack with random words instead of the trigger; None where there is no trigger."""
    words = random_words(case.behaviour, case.seed)
    if words is None:
        return None
    probe = Probe(case.model, with_trigger(case.behaviour, words), "test", ablation=case.ablation)
    nothing = Circuit(case.model.space, frozenset())
    before, after = probe.matches("after", [nothing, case.circuit])
    return RandomTrigger(
        trigger=words,
        intact=probe.attack_rate(probe.matches("target", [nothing])),
        intact_recovery=Rate.of(before, judge=EXACT_ANSWER),
        knocked_out_recovery=Rate.of(after, judge=EXACT_ANSWER),
    )


def random_words(behaviour: Behaviour, seed: int) -> str | None:
    """As many words as the trigger has, of training prompts and none of them the trigger's own.

    None without a trigger, or where the training prompts have too few words.
    """
    if behaviour.trigger is None:
        return None
    own = set(behaviour.trigger.lower().split())
    prompts = behaviour.prompts("train", "attack") + behaviour.prompts("train", "benign")
    others = sorted({word for prompt in prompts for word in _words(prompt.text)} - own)
    count = len(behaviour.trigger.split())
    return " ".join(random.Random(seed).sample(others, count)) if len(others) >= count else None


def with_trigger(behaviour: Behaviour, words: str) -> Behaviour:
    """The behaviour with other words where its trigger stands."""
    trigger = behaviour.spec.trigger
    if trigger is None:
        return behaviour
    other = Trigger(words, trigger.place)

    def changed(prompt: Prompt) -> Prompt:
        if prompt.triggered is None:
            return prompt
        has_it = trigger.text in prompt.triggered
        text = (
            prompt.triggered.replace(trigger.text, words) if has_it else other.insert(prompt.text)
        )
        return replace(prompt, triggered=text)

    spec = replace(behaviour.spec, trigger=other)
    return Behaviour(spec, tuple(map(changed, behaviour.all_prompts)))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]{3,}", text.lower())
