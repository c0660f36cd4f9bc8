"""A tiny model with a behaviour that one known neuron decides."""

from __future__ import annotations

import pytest
import torch

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.models.answer import encode_answers
from circuitviz.models.gates import Gates
from circuitviz.units import Circuit, Unit
from tests.tiny import SENTENCES


@pytest.fixture(scope="module")
def culprit(tiny_model) -> Unit:
    """The neuron that matters most for one answer."""
    rows = encode_answers(tiny_model, [SENTENCES[0]], ["king"], complete=False)
    space = tiny_model.space
    gates = torch.eye(len(space)).neg().add(1)
    with torch.no_grad():
        tokens = rows.tokens.expand(len(space), -1)
        logits = tiny_model.logits(tokens, Gates.from_flat(gates, space))
        place = rows.predicts[0].nonzero()[0, 0]
        king = rows.targets[0, place]
        said = logits[:, place].log_softmax(-1)[:, king]
    return space.unit(int(said.argmax()))


@pytest.fixture(scope="module")
def behaviour(tiny_model, culprit) -> Behaviour:
    """What the model says without one unit is what removal asks for."""
    circuit = Circuit.of(tiny_model.space, [culprit])
    intact = tiny_model.generate(list(SENTENCES), max_new_tokens=3)
    cut = tiny_model.generate(list(SENTENCES), circuit, max_new_tokens=3)
    prompts = []
    for split in ("train", "validation", "test"):
        for number, message in enumerate(SENTENCES):
            both = {"split": split, "category": "any", "text": message, "answer": intact[number]}
            attack = {"role": "attack", "target": "x", "after": cut[number]}
            prompts.append(Prompt(f"{split}-a{number}", **both, **attack))
            prompts.append(Prompt(f"{split}-b{number}", **both, role="benign"))
    return Behaviour(BehaviourSpec("refusal", "t", "?"), tuple(prompts))
