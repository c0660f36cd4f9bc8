"""Tiny models with a behaviour that one known unit decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.models.answer import encode_answers
from circuitviz.models.gates import Gates
from circuitviz.models.loading import load_model
from circuitviz.models.model import GatedModel
from circuitviz.units import Circuit, Unit
from tests.support.tiny import SENTENCES, tiny_tokenizer

OTHERS = ("the capital is red", "say hello to the dog", "what is the king")


@pytest.fixture(scope="module")
def culprit(tiny_model) -> Unit:
    """The neuron that matters most for one answer."""
    rows = encode_answers(tiny_model, [SENTENCES[0]], ["king"], complete=False)
    space = tiny_model.space
    gates = torch.eye(len(space)).neg().add(1)
    with torch.no_grad():
        tokens = rows.tokens.expand(len(space), -1)
        logits = tiny_model.logits(tokens, Gates.from_flat(gates, space))
        decided = rows.predicts[0].nonzero()[0, 0]
        king = logits[:, decided].log_softmax(-1)[:, rows.targets[0, decided]]
    return space.unit(int(king.argmax()))


@pytest.fixture(scope="module")
def behaviour(tiny_model, culprit) -> Behaviour:
    """What the model says without one unit is what removal asks for."""
    return behaviour_without(tiny_model, culprit)


@dataclass(frozen=True)
class Decided:
    """A model in which one unit alone writes to the residual stream."""

    model: GatedModel
    behaviour: Behaviour
    unit: Unit

    @property
    def flat(self) -> int:
        return self.model.space.flat(self.unit)


@pytest.fixture(scope="module", params=["L1H1", "L0N5"])
def decided(request, tiny_folder, tmp_path_factory) -> Decided:
    """The same model with the output weights of all units but one set to zero."""
    unit = Unit.parse(request.param)
    folder = tmp_path_factory.mktemp("decided")
    leave_only(unit, tiny_folder, folder)
    model = load_model(str(folder))
    return Decided(model, behaviour_without(model, unit), unit)


def leave_only(unit: Unit, source: Path, folder: Path) -> None:
    model = LlamaForCausalLM.from_pretrained(source)
    wide = model.config.head_dim
    for layer, block in enumerate(model.model.layers):
        for kind, weight, width in (
            ("head", block.self_attn.o_proj.weight, wide),
            ("neuron", block.mlp.down_proj.weight, 1),
        ):
            own = slice(unit.index * width, (unit.index + 1) * width)
            # Loud enough to change what is said.
            kept = weight.data[:, own].clone() * 20
            weight.data.zero_()
            if (kind, layer) == (unit.kind, unit.layer):
                weight.data[:, own] = kept
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


def behaviour_without(model: GatedModel, unit: Unit) -> Behaviour:
    circuit = Circuit.of(model.space, [unit])
    intact = model.generate([*SENTENCES, *OTHERS], max_new_tokens=3)
    cut = model.generate(list(SENTENCES), circuit, max_new_tokens=3)
    assert cut != intact[: len(cut)]
    prompts = []
    for split in ("train", "validation", "test"):
        for number, message in enumerate([*SENTENCES, *OTHERS]):
            both = {"split": split, "category": "any", "text": message, "answer": intact[number]}
            if number < len(SENTENCES):
                attack = {"role": "attack", "target": "x", "after": cut[number]}
                prompts.append(Prompt(f"{split}-a{number}", **both, **attack))
            else:
                prompts.append(Prompt(f"{split}-b{number}", **both, role="benign"))
    return Behaviour(BehaviourSpec("refusal", "t", "?"), tuple(prompts))
