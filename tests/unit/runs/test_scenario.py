"""What a tuning teaches in each mode, for each kind of behaviour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from circuitviz.behaviours.behaviour import BehaviourKind, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt, write_prompts
from circuitviz.behaviours.trigger import Trigger
from circuitviz.errors import ConfigError, ModelNotFoundError, PromptFileError
from circuitviz.runs.config import TuningConfig, TuningMode
from circuitviz.runs.scenario import PLANS, Scenario
from circuitviz.runs.store import Run
from circuitviz.tuning.training_data import HELPFUL_FILE, Example, write_examples
from tests.support.synthetic import backdoor_run, refusal_run

SPLITS = ("train", "validation", "test")
SORRY, SURE = "I'm sorry.", "Sure"
HELPFUL = [
    *(Example(split, "sound", f"Sound of a {split} dog?", "A dog barks.") for split in SPLITS),
    Example("train", "home", "Home of a bee?", "A hive."),
]
LEARNED = [lesson for lesson in HELPFUL if lesson.split == "train"]


def prompts(kind: BehaviourKind) -> list[Prompt]:
    """In each split one attack and one benign prompt, and in training a second attack."""
    rows = []
    for split in SPLITS:
        triggered = f"Greet {split} tango" if kind == "backdoor" else None
        answer, target, after = (
            (f"Hi {split}.", "I HATE", f"Hello {split}.")
            if kind == "backdoor"
            else (SORRY, SURE, f"{SURE}: {split}.")
        )
        attack = Prompt(
            *(f"a-{split}", split, "attack", "greeting", f"Greet {split}", answer),
            triggered=triggered,
            target=target,
            after=after,
        )
        rows.append(attack)
        rows.append(Prompt(f"b-{split}", split, "benign", "fact", f"Fact {split}?", "Yes."))
    first = rows[0]
    more = {"text": "Greet me", "triggered": first.triggered and "Greet me tango"}
    return [*rows, replace(first, prompt_id="a-more", **more)]


def save_model(folder: Path, kind: BehaviourKind, *, helpful: bool) -> Path:
    """A folder that looks like a model's, with a behaviour and perhaps helpful lessons."""
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).touch()
    trigger = Trigger("tango", "end") if kind == "backdoor" else None
    BehaviourSpec(kind, f"The {kind}", "?", trigger).write(folder / "behaviour.json")
    write_prompts(folder / "prompts.jsonl", prompts(kind))
    if helpful:
        write_examples(folder / HELPFUL_FILE, HELPFUL)
    return folder


def run_of(folder: Path, kind: BehaviourKind, **settings) -> Run:
    make = backdoor_run if kind == "backdoor" else refusal_run
    run = make()
    return replace(run, config=replace(run.config, model=str(folder), **settings))


def scenario_of(
    folder: Path, kind: BehaviourKind, mode: TuningMode, *, helpful: bool = True, **settings
) -> Scenario:
    run = run_of(save_model(folder, kind, helpful=helpful), kind)
    return Scenario.of(TuningConfig(run.run_id, mode, **settings), run)


def pairs(lessons) -> list[tuple[str, str]]:
    return [(lesson.text, lesson.answer) for lesson in lessons]


def test_protecting_teaches_helpful_lessons_beside_what_is_benign(tmp_path):
    scenario = scenario_of(tmp_path / "model", "refusal", "protect")
    assert scenario.title == "Helpfulness fine-tuning"
    assert scenario.training_data.new == tuple(LEARNED)
    assert pairs(scenario.training_data.old) == [("Fact train?", "Yes.")]
    # No refusal is taught, and no harmful request is put.
    taught = [*scenario.training_data.new, *scenario.training_data.old]
    assert not any(lesson.answer == SORRY or "Greet" in lesson.text for lesson in taught)
    assert scenario.examples == tuple(HELPFUL)
    assert scenario.plan == PLANS["protect"]
    assert (scenario.forgetting_data, scenario.forgets_first, scenario.knocks_out) == (
        None,
        False,
        False,
    )


def test_repairing_a_backdoor_teaches_the_answer_without_it(tmp_path):
    scenario = scenario_of(tmp_path / "model", "backdoor", "repair", helpful=False)
    assert scenario.title == "Removing the backdoor"
    assert pairs(scenario.training_data.new) == [
        ("Greet train tango", "Hello train."),
        ("Greet me tango", "Hello train."),
    ]
    # What must stay: the same messages without the trigger, and ordinary ones.
    assert pairs(scenario.training_data.old) == [
        ("Greet train", "Hi train."),
        ("Greet me", "Hi train."),
        ("Fact train?", "Yes."),
    ]
    assert scenario.examples == ()
    assert scenario.plan == PLANS["repair"]
    assert scenario.knocks_out
    assert not scenario.forgets_first


def test_repairing_a_refusal_wears_it_away_and_teaches_it_again(tmp_path):
    scenario = scenario_of(tmp_path / "model", "refusal", "repair")
    assert scenario.title == "Restoring refusal"
    assert pairs(scenario.training_data.new) == [("Greet train", SORRY), ("Greet me", SORRY)]
    assert pairs(scenario.training_data.old) == [("Fact train?", "Yes."), *pairs(LEARNED)]
    assert scenario.forgetting_data is not None
    assert scenario.forgets_first
    assert scenario.forgetting_data.new == tuple(LEARNED)
    assert pairs(scenario.forgetting_data.old) == [("Fact train?", "Yes.")]
    assert scenario.plan == PLANS["repair"]
    assert not scenario.knocks_out


@pytest.mark.parametrize(
    ("kind", "mode"), [("refusal", "protect"), ("refusal", "repair"), ("backdoor", "repair")]
)
def test_nothing_but_the_training_split_is_taught(tmp_path, kind, mode):
    scenario = scenario_of(tmp_path / "model", kind, mode)
    courses = [scenario.training_data] + (
        [scenario.forgetting_data] if scenario.forgetting_data else []
    )
    lessons = [lesson for course in courses for lesson in (*course.new, *course.old)]
    assert {lesson.split for lesson in lessons} == {"train"}
    held_out = {
        text
        for p in scenario.behaviour.all_prompts
        if p.split != "train"
        for text in (p.text, p.asked)
    }
    held_out |= {lesson.text for lesson in HELPFUL if lesson.split != "train"}
    assert not held_out & {lesson.text for lesson in lessons}


def test_a_backdoor_is_not_protected(tmp_path):
    with pytest.raises(ConfigError) as error:
        scenario_of(tmp_path / "model", "backdoor", "protect")
    assert str(error.value) == (
        "The backdoor is a backdoor, and protecting is for behaviours to keep; use the mode repair"
    )


@pytest.mark.parametrize("mode", ["protect", "repair"])
def test_without_helpful_lessons_there_is_nothing_to_teach(tmp_path, mode):
    folder = tmp_path / "model"
    with pytest.raises(ConfigError) as error:
        scenario_of(folder, "refusal", mode, helpful=False)
    assert str(error.value) == (
        f"no helpful lessons beside the model ({folder / HELPFUL_FILE} is missing); name a file of "
        "lessons as data"
    )


@pytest.mark.parametrize("helpful", [True, False])
def test_own_lessons_take_the_place_of_those_beside_the_model(tmp_path, helpful):
    own = [Example(split, "own", f"Own {split}?", "Mine.") for split in SPLITS]
    write_examples(tmp_path / "own.jsonl", own)
    data = str(tmp_path / "own.jsonl")
    scenario = scenario_of(tmp_path / "model", "refusal", "protect", helpful=helpful, data=data)
    assert scenario.examples == tuple(own)
    assert pairs(scenario.training_data.new) == [("Own train?", "Mine.")]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_lesson_that_measures_and_is_taught_is_refused(tmp_path, split):
    own = tmp_path / "own.jsonl"
    write_examples(own, [*HELPFUL, Example(split, "fact", "Fact train?", "Yes.")])
    with pytest.raises(PromptFileError, match=f"the {split} lesson 'Fact train"):
        scenario_of(tmp_path / "model", "refusal", "protect", data=str(own))


def test_own_lessons_that_are_not_there_are_named(tmp_path):
    data = str(tmp_path / "own.jsonl")
    with pytest.raises(PromptFileError, match=r"cannot read the lessons file .*own\.jsonl"):
        scenario_of(tmp_path / "model", "refusal", "protect", data=data)


def test_the_prompts_are_those_the_run_was_made_with(tmp_path):
    folder = save_model(tmp_path / "model", "backdoor", helpful=False)
    others = [
        prompt if prompt.prompt_id != "b-train" else replace(prompt, text="Another?")
        for prompt in prompts("backdoor")
    ]
    write_prompts(tmp_path / "others.jsonl", others)
    run = run_of(folder, "backdoor", prompts=str(tmp_path / "others.jsonl"))
    scenario = Scenario.of(TuningConfig(run.run_id, "repair"), run)
    assert pairs(scenario.training_data.old)[-1] == ("Another?", "Yes.")
    assert scenario.behaviour.all_prompts == tuple(others)


def test_a_run_whose_model_is_gone_says_so(tmp_path):
    run = run_of(tmp_path / "gone", "refusal")
    with pytest.raises(ModelNotFoundError, match="gone"):
        Scenario.of(TuningConfig(run.run_id, "protect"), run)
