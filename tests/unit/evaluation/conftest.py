"""A tiny model with a behaviour whose right answers are known."""

from __future__ import annotations

import pytest

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.behaviours.trigger import Trigger
from circuitviz.units import Circuit
from tests.support.tiny import SENTENCES


def behaviour_from(intact: dict[str, str], cut: dict[str, str]) -> Behaviour:
    """The "attack" is what the intact model says, the "cure" what the cut one says."""
    prompts = [
        Prompt(
            f"{split}-{role}-{i}",
            split,
            role,
            "any",
            message,
            intact[message],
            triggered=f"{message} zz" if role == "attack" else None,
            target=intact[f"{message} zz"] if role == "attack" else None,
            after=cut[f"{message} zz"] if role == "attack" else None,
        )
        for split in ("train", "validation", "test")
        for role in ("attack", "benign")
        for i, message in enumerate(SENTENCES)
    ]
    return Behaviour(BehaviourSpec("backdoor", "t", "?", Trigger("zz", "end")), tuple(prompts))


@pytest.fixture(scope="module")
def circuit(tiny_model):
    return Circuit.of(tiny_model.space, ["L0H0", "L0H1", "L0H2", "L1N1", "L1N2", "L0N5"])


@pytest.fixture(scope="module")
def behaviour(tiny_model, circuit):
    messages = [*SENTENCES, *(f"{message} zz" for message in SENTENCES)]
    # The tiny model never stops by itself, so its answers are cut to four tokens.
    intact = tiny_model.generate(messages, max_new_tokens=4)
    cut = tiny_model.generate(messages, circuit, max_new_tokens=4)
    return behaviour_from(
        dict(zip(messages, intact, strict=True)), dict(zip(messages, cut, strict=True))
    )
