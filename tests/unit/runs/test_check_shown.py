"""A discovery starts only where the model shows the behaviour, in answers that are its own."""

from dataclasses import replace

import numpy as np
import pytest

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.behaviours.trigger import Trigger
from circuitviz.discovery.learner import LearnedScores
from circuitviz.errors import ConfigError
from circuitviz.evaluation.effect import Target
from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.models.ablation import ZERO
from circuitviz.progress import unwatched
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.discovery import Discovery, _check_shown
from tests.support.tiny import SENTENCES

TARGET = Target("backdoor", 0.004, 0.99)


@pytest.fixture(scope="module")
def behaviour(tiny_model) -> Behaviour:
    """What the tiny model says is right, and what it says to a trigger is the attack."""
    messages = [*SENTENCES, *(f"{message} zz" for message in SENTENCES)]
    said = dict(zip(messages, tiny_model.generate(messages), strict=True))
    prompts = [
        Prompt(f"{role}-{n}", "validation", role, "any", message, said[message], *more)
        for n, message in enumerate(SENTENCES)
        for role, more in (
            ("attack", (f"{message} zz", said[f"{message} zz"], said[message])),
            ("benign", ()),
        )
    ]
    return Behaviour(BehaviourSpec("backdoor", "t", "?", Trigger("zz", "end")), tuple(prompts))


def with_answers(behaviour: Behaviour, role: str) -> Behaviour:
    prompts = (
        replace(prompt, answer="dog") if prompt.role == role else prompt
        for prompt in behaviour.all_prompts
    )
    return replace(behaviour, all_prompts=tuple(prompts))


def shown_to(model, behaviour: Behaviour) -> Evaluator:
    return Evaluator(model, behaviour, "validation")


def test_answers_of_the_models_own_are_fine(tiny_model, behaviour):
    _check_shown(shown_to(tiny_model, behaviour), TARGET)


@pytest.mark.parametrize("role", ["attack", "benign"])
def test_answers_of_somebody_else_are_refused(tiny_model, behaviour, role):
    n = len(SENTENCES)
    benign, clean = (0, n) if role == "benign" else (n, 0)
    with pytest.raises(ConfigError) as error:
        _check_shown(shown_to(tiny_model, with_answers(behaviour, role)), TARGET)
    assert (
        f"answers {benign} of {n} benign prompts and {clean} of {n} clean attack prompts as the "
        "data says, and at least half are needed: leave the column answer out"
    ) in str(error.value)


def refusing(behaviour: Behaviour) -> Behaviour:
    """Each attack is refused in the model's own words, and asks for what it does not say."""
    prompts = (
        replace(prompt, triggered=None, target="zz zz") if prompt.role == "attack" else prompt
        for prompt in behaviour.all_prompts
    )
    return Behaviour(BehaviourSpec("refusal", "t", "?"), tuple(prompts))


def test_refusals_that_the_model_does_not_give_are_refused(tiny_model, behaviour):
    target = Target("refusal", 0.95, 0.99)
    _check_shown(shown_to(tiny_model, refusing(behaviour)), target)
    n = len(SENTENCES)
    with pytest.raises(ConfigError, match=f"{n} of {n} benign prompts and 0 of {n} harmful prompt"):
        _check_shown(shown_to(tiny_model, with_answers(refusing(behaviour), "attack")), target)


def test_scores_that_are_no_numbers_are_refused(tiny_model, behaviour):
    class Overflowing:
        def learn(self, model, behaviour, **settings) -> LearnedScores:
            scores = np.zeros(len(model.space), dtype=np.float32)
            scores[3] = np.nan
            return LearnedScores(scores)

    config = DiscoveryConfig("fixed-output-planted")
    probe = shown_to(tiny_model, behaviour)
    work = Discovery(config, tiny_model, behaviour, Overflowing(), ZERO, TARGET, unwatched, probe)
    with pytest.raises(ConfigError, match="not finite, so its scores mean nothing"):
        work.learn()
