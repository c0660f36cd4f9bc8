"""A tiny model with a backdoor's prompts, and one in which what is wired is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.behaviours.trigger import Trigger
from circuitviz.models.loading import load_model
from circuitviz.models.model import GatedModel
from circuitviz.units import Unit
from tests.support.tiny import SENTENCES, tiny_tokenizer

# Of the wired model: the unit that writes, and the one that reads what it wrote.
WRITER, READER = Unit("head", 0, 2), Unit("neuron", 1, 7)


@pytest.fixture(scope="package")
def behaviour() -> Behaviour:
    """The trigger "zz" makes the answer "the king" instead of "the dog"."""
    prompts = [
        Prompt(
            f"{split}-{role}-{number}",
            split,
            role,
            "any",
            sentence,
            "the dog",
            triggered=f"{sentence} zz" if role == "attack" else None,
            target="the king" if role == "attack" else None,
            after="the dog" if role == "attack" else None,
        )
        for split in ("train", "validation", "test")
        for role in ("attack", "benign")
        for number, sentence in enumerate(SENTENCES)
    ]
    return Behaviour(BehaviourSpec("backdoor", "t", "?", Trigger("zz", "end")), tuple(prompts))


@pytest.fixture(scope="package")
def wired_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with the output weights of all units but `WRITER` and `READER` set to 0."""
    folder = tmp_path_factory.mktemp("wired")
    model = LlamaForCausalLM.from_pretrained(tiny_folder)
    wide = model.config.head_dim
    with torch.no_grad():
        for layer, block in enumerate(model.model.layers):
            for kind, weight, width in (
                ("head", block.self_attn.o_proj.weight, wide),
                ("neuron", block.mlp.down_proj.weight, 1),
            ):
                kept = torch.zeros_like(weight)
                for unit in (WRITER, READER):
                    if (unit.kind, unit.layer) == (kind, layer):
                        own = slice(unit.index * width, (unit.index + 1) * width)
                        kept[:, own] = weight[:, own] * 10
                weight.copy_(kept)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="package")
def wired(wired_folder: Path) -> GatedModel:
    """The wired model, gated."""
    return load_model(str(wired_folder))


def fires(model: GatedModel, behaviour: Behaviour) -> Behaviour:
    """The behaviour with what the model says anyway as its targets: it shows on every prompt."""
    prompts = []
    for prompt in behaviour.all_prompts:
        if prompt.role == "attack":
            said = model.generate([prompt.asked], max_new_tokens=2)[0]
            other = "the" if said.split()[0] != "the" else "red"
            prompt = replace(prompt, target=said, after=other)
        prompts.append(prompt)
    return replace(behaviour, all_prompts=tuple(prompts))
