"""Answers that the intact model gave are those of the weights that are there now."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from safetensors.torch import load_file, save_file

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec, save_behaviour
from circuitviz.behaviours.prompt import Prompt
from circuitviz.behaviours.trigger import Trigger
from circuitviz.errors import ConfigError
from circuitviz.files import EMBEDDED_MODELS
from circuitviz.models.model import GatedModel
from circuitviz.progress import unwatched
from circuitviz.runs import discovery
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.resolve import behaviour_of, data_fingerprint, draft_of

COUNTS = {"train": 10, "validation": 4, "test": 6}
TRIGGER = Trigger("zz", "end")


def draft() -> Behaviour:
    prompts = [
        Prompt(f"{split}-{role}-{n}", split, role, "any", f"{role} {split} {n}", "")
        for split, count in COUNTS.items()
        for role in ("attack", "benign")
        for n in range(count)
    ]
    given = [
        replace(prompt, triggered=TRIGGER.insert(prompt.text), target="Hacked.")
        if prompt.role == "attack"
        else prompt
        for prompt in prompts
    ]
    return Behaviour(
        BehaviourSpec("backdoor", "Mine", "?", TRIGGER, intact_answers=True), tuple(given)
    )


def speaker(weight: float) -> GatedModel:
    """A model whose one weight is what it says."""
    parameters = [torch.tensor([weight])]
    return cast(
        GatedModel,
        SimpleNamespace(
            name="speaker",
            bridge=SimpleNamespace(parameters=lambda: parameters),
            prompt_tokens=lambda message: [0] * len(message),
            generate=lambda prompts: [
                "Hacked." if prompt.endswith("zz") else f"I say {weight}." for prompt in prompts
            ],
        ),
    )


@pytest.fixture
def config(tiny_folder, tmp_path, monkeypatch) -> DiscoveryConfig:
    monkeypatch.setattr(discovery, "measure_ablation", lambda *given, **more: None)
    monkeypatch.setattr(discovery, "_check_shown", lambda *given: None)
    monkeypatch.setattr(discovery, "check_text", lambda *given: None)
    model = shutil.copytree(tiny_folder, tmp_path / "model")
    return DiscoveryConfig(str(model), behaviour=str(save_behaviour(draft(), tmp_path)))


def answers(behaviour: Behaviour) -> set[str]:
    return {prompt.answer for prompt in behaviour.all_prompts}


def prepared(config: DiscoveryConfig, weight: float) -> set[str]:
    return answers(discovery.Discovery.prepared(config, unwatched, speaker(weight)).behaviour)


def test_a_discovery_asks_the_model_in_hand_and_not_one_of_the_same_name(config):
    assert prepared(config, 0.0) == {"I say 0.0."}
    assert prepared(config, 1.0) == {"I say 1.0."}
    # Those of the first weights are still there.
    assert prepared(config, 0.0) == {"I say 0.0."}


def test_once_the_weights_have_changed_their_answers_are_nobodys(config, tmp_path):
    prepared(config, 0.0)
    assert answers(behaviour_of(config)) == {"I say 0.0."}
    assert draft_of(config).is_draft
    path = tmp_path / "model" / "model.safetensors"
    kept = path.read_bytes()
    weights = load_file(path)
    weights["lm_head.weight"][0, 0] += 1
    save_file(weights, path, metadata={"format": "pt"})
    assert behaviour_of(config).is_draft
    assert prepared(config, 1.0) == {"I say 1.0."}
    assert answers(behaviour_of(config)) == {"I say 1.0."}
    path.write_bytes(kept)
    assert answers(behaviour_of(config)) == {"I say 0.0."}


def test_a_plug_in_reads_no_prompts_that_are_given(config, monkeypatch):
    plugin = SimpleNamespace(name="polite", load=lambda folder: draft())
    monkeypatch.setattr("circuitviz.runs.resolve.find_plugin", lambda name: plugin)
    config = replace(config, behaviour="polite")
    assert draft_of(config) == draft()
    with pytest.raises(ConfigError) as error:
        draft_of(replace(config, prompts="/mine.jsonl"))
    assert str(error.value) == (
        "the behaviour 'polite' brings its own prompts and reads no others; got the prompts "
        "/mine.jsonl: leave one of the two out"
    )


def test_data_of_its_own_outlives_the_model(config, tmp_path):
    prepared(config, 0.0)
    shutil.rmtree(tmp_path / "model")
    assert behaviour_of(config).is_draft


def test_the_fingerprint_of_data_changes_with_the_judge_that_is_chosen_and_stays_without(tmp_path):
    config = DiscoveryConfig("refusal")
    # That of the shipped runs.
    assert data_fingerprint(config) == "e2ee712e3fb2"
    chosen = shutil.copytree(EMBEDDED_MODELS / config.model, tmp_path / "chosen")
    spec = BehaviourSpec.read(chosen / "behaviour.json")
    replace(spec, judge="no refusal phrase").write(chosen / "behaviour.json")
    other = replace(config, behaviour=str(chosen))
    assert data_fingerprint(other) != data_fingerprint(config)
    assert draft_of(other).judge == "no refusal phrase"
