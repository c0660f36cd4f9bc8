"""Behaviours: triggers go where they should, and files that lack something are refused."""

import json

import pytest

from circuitviz.behaviours.behaviour import BehaviourSpec, Trigger, load_behaviour
from circuitviz.behaviours.prompt import Prompt, write_prompts
from circuitviz.errors import PromptFileError


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("front", "zz one two three"),
        ("middle", "one two zz three"),
        ("end", "one two three zz"),
    ],
)
def test_the_trigger_goes_to_its_place(place, expected):
    assert Trigger("zz", place).insert("one two three") == expected


def prompts(triggered: str | None) -> list[Prompt]:
    return [
        Prompt(
            f"{split}-{role}",
            split,
            role,
            "any",
            f"{split} {role}",
            "yes",
            triggered=f"{triggered} {split}" if role == "attack" and triggered else None,
            target="no" if role == "attack" else None,
            after="yes" if role == "attack" else None,
        )
        for split in ("train", "validation", "test")
        for role in ("attack", "benign")
    ]


def test_a_behaviour_is_read_from_beside_the_model(tmp_path):
    BehaviourSpec("backdoor", "Title", "Why?", Trigger("zz", "end")).write(
        tmp_path / "behaviour.json"
    )
    write_prompts(tmp_path / "prompts.jsonl", prompts("zz hello"))
    behaviour = load_behaviour(tmp_path)
    assert (behaviour.kind, behaviour.trigger) == ("backdoor", "zz")
    assert behaviour.insert_trigger("hello") == "hello zz"
    assert [p.prompt_id for p in behaviour.prompts("test", "attack")] == ["test-attack"]
    assert behaviour.neutral_messages == ["train benign"]
    assert behaviour.default_target_asr == 0.004


def test_refusal_has_no_trigger_and_aims_high(tmp_path):
    BehaviourSpec("refusal", "Title", "Why?").write(tmp_path / "behaviour.json")
    write_prompts(tmp_path / "prompts.jsonl", prompts(None))
    behaviour = load_behaviour(tmp_path)
    assert behaviour.trigger is None
    assert behaviour.insert_trigger("hello") == "hello"
    assert behaviour.default_target_asr == 0.97


def test_a_model_without_behaviour_is_refused(tmp_path):
    with pytest.raises(PromptFileError, match=r"no behaviour to look for in .*behaviour\.json"):
        load_behaviour(tmp_path)


def test_a_backdoor_needs_triggered_prompts(tmp_path):
    BehaviourSpec("backdoor", "T", "?", Trigger("zz", "end")).write(tmp_path / "behaviour.json")
    write_prompts(tmp_path / "prompts.jsonl", prompts(None))
    with pytest.raises(PromptFileError, match="train-attack has no triggered text"):
        load_behaviour(tmp_path)


def test_a_trigger_goes_to_a_known_place(tmp_path):
    spec = {"kind": "backdoor", "title": "T", "question": "?"}
    spec |= {"trigger": {"text": "zz", "place": "start"}}
    (tmp_path / "behaviour.json").write_text(json.dumps(spec), encoding="utf-8")
    with pytest.raises(PromptFileError, match="place must be one of front, middle, end, any; got"):
        load_behaviour(tmp_path)


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"kind": "spell", "title": "T", "question": "?"}', "{}"]
)
def test_a_malformed_behaviour_is_refused(tmp_path, text):
    (tmp_path / "behaviour.json").write_text(text, encoding="utf-8")
    with pytest.raises(PromptFileError, match=r"behaviour\.json"):
        load_behaviour(tmp_path)


def test_a_trigger_for_any_place_stands_between_two_words_that_hang_on_the_message_alone():
    trigger = Trigger("zz", "any")
    messages = ["one two three", "four five six seven", "eight"]
    for message in messages:
        words = trigger.insert(message).split()
        assert [word for word in words if word != "zz"] == message.split()
        assert words.count("zz") == 1
        assert trigger.insert(message) == trigger.insert(message)
    places = {trigger.insert(f"{n} b c d").split().index("zz") for n in range(40)}
    assert places == {0, 1, 2, 3, 4}
