"""What has changed since a run was made."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from circuitviz.behaviours.behaviour import BehaviourSpec, read_behaviour
from circuitviz.behaviours.prompt import Prompt, write_prompts
from circuitviz.models.source import find_source, fingerprint
from circuitviz.runs import resolve
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.resolve import changed_since, data_fingerprint
from circuitviz.runs.store import Run
from tests.support.synthetic import backdoor_run, with_results


def prompts(answer: str) -> list[Prompt]:
    return [
        Prompt(f"{split}-{role}", split, role, "any", f"{split} {role}", answer, None, "no", "yes")
        for split in ("train", "validation", "test")
        for role in ("attack", "benign")
    ]


@pytest.fixture
def run(tiny_folder, tmp_path) -> Run:
    """A run of the files that are there now, with prompts of its own."""
    model = shutil.copytree(tiny_folder, tmp_path / "model")
    BehaviourSpec("refusal", "T", "?").write(model / "behaviour.json")
    write_prompts(tmp_path / "prompts.jsonl", prompts("a"))
    config = DiscoveryConfig(str(model), prompts=str(tmp_path / "prompts.jsonl"))
    now = {"weights": fingerprint(find_source(config.model)), "data": data_fingerprint(config)}
    return replace(with_results(backdoor_run(), **now), config=config)


def test_nothing_has_changed_while_the_files_are_the_same(run):
    assert changed_since(run) == []


def test_other_weights_and_other_prompts_are_named(run, tmp_path):
    write_prompts(tmp_path / "prompts.jsonl", prompts("another"))
    assert changed_since(run) == ["the prompts"]
    (tmp_path / "model" / "chat_template.jinja").write_text("other", encoding="utf-8")
    assert changed_since(run) == ["the model's files", "the prompts"]
    write_prompts(tmp_path / "prompts.jsonl", prompts("a"))
    assert changed_since(run) == ["the model's files"]


def test_a_run_that_does_not_say_what_it_was_made_from_is_taken_as_it_is(run, tmp_path):
    write_prompts(tmp_path / "prompts.jsonl", prompts("another"))
    assert changed_since(replace(run, metrics=backdoor_run().metrics)) == []


def test_files_that_are_gone_have_not_changed(run, tmp_path):
    shutil.rmtree(tmp_path / "model")
    (tmp_path / "prompts.jsonl").unlink()
    assert changed_since(run) == []


def test_prompts_are_read_again_only_after_a_change(run, tmp_path, monkeypatch):
    read = []

    def load(*files):
        read.append(files)
        return read_behaviour(*files)

    monkeypatch.setattr(resolve, "read_behaviour", load)
    changed_since(run)
    assert not read
    write_prompts(tmp_path / "prompts.jsonl", prompts("another"))
    assert changed_since(run) == changed_since(run) == ["the prompts"]
    assert len(read) == 1
