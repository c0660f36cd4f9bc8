"""Behaviours in their folders: what is read and refused, and what became of their prompts."""

import json
from dataclasses import replace

import pytest

from circuitviz.behaviours.behaviour import (
    Behaviour,
    BehaviourSpec,
    Changed,
    Dropped,
    Screening,
    read_behaviour,
    save_behaviour,
)
from circuitviz.behaviours.prompt import write_prompts
from circuitviz.behaviours.trigger import Trigger
from circuitviz.commands.output import run_summary
from circuitviz.errors import PromptFileError
from tests.support.synthetic import backdoor_run, with_results

BACKDOOR = BehaviourSpec("backdoor", "Title", "Why?", Trigger("zz", "end"))
SCREENING = Screening(
    attacks=20,
    shown=17,
    dropped=(
        Dropped(role="attack", reason="not refused", count=3),
        Dropped(role="benign", reason="refused", count=1),
    ),
    changed=Changed(trigger=19, random=2, n=20),
)


def test_a_behaviour_is_read_from_beside_the_model(tmp_path, six):
    BACKDOOR.write(tmp_path / "behaviour.json")
    write_prompts(tmp_path / "prompts.jsonl", six)
    behaviour = read_behaviour(tmp_path)
    assert (behaviour.spec, behaviour.all_prompts) == (BACKDOOR, tuple(six))
    assert behaviour.insert_trigger("hello") == "hello zz"
    assert [p.prompt_id for p in behaviour.prompts("test", "attack")] == ["test-attack"]
    assert behaviour.neutral_messages == ["train benign"]
    assert behaviour.default_target_asr == 0.004


def test_refusal_has_no_trigger_and_aims_high(tmp_path, six):
    BehaviourSpec("refusal", "Title", "Why?").write(tmp_path / "behaviour.json")
    write_prompts(tmp_path / "prompts.jsonl", [replace(prompt, triggered=None) for prompt in six])
    behaviour = read_behaviour(tmp_path)
    assert behaviour.trigger is None
    assert behaviour.insert_trigger("hello") == "hello"
    assert behaviour.default_target_asr == 0.97


def test_a_behaviour_is_saved_once_in_a_folder_of_its_content(tmp_path, six):
    behaviour = Behaviour(BACKDOOR, tuple(six))
    folder = save_behaviour(behaviour, tmp_path)
    assert folder.parent == tmp_path / ".data"
    assert folder.name.startswith("title-")
    assert read_behaviour(folder) == behaviour
    (folder / "kept").touch()
    assert save_behaviour(behaviour, tmp_path) == folder
    assert (folder / "kept").exists()
    other = replace(six[0], text="another")
    assert save_behaviour(Behaviour(BACKDOOR, (other, *six[1:])), tmp_path) != folder


def test_a_model_without_behaviour_is_refused(tmp_path):
    with pytest.raises(PromptFileError, match=r"no behaviour to look for in .*behaviour\.json"):
        read_behaviour(tmp_path)


def test_a_backdoor_needs_triggered_prompts(tmp_path, six):
    BACKDOOR.write(tmp_path / "behaviour.json")
    write_prompts(tmp_path / "prompts.jsonl", [replace(prompt, triggered=None) for prompt in six])
    with pytest.raises(PromptFileError, match="train-attack has no triggered text"):
        read_behaviour(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "cannot read the behaviour"),
        ("{", "cannot read the behaviour"),
        ("{}", "cannot read the behaviour"),
        ('{"kind": "spell", "title": "T", "question": "?"}', "kind must be backdoor or refusal"),
        (
            json.dumps(
                {"kind": "backdoor", "title": "T", "question": "?"}
                | {"trigger": {"text": "zz", "place": "start"}}
            ),
            "place must be one of front, middle, end, any; got 'start'",
        ),
    ],
)
def test_a_malformed_behaviour_is_refused(tmp_path, text, message):
    (tmp_path / "behaviour.json").write_text(text, encoding="utf-8")
    with pytest.raises(PromptFileError, match=rf"behaviour\.json.*{message}|{message}.*\.json"):
        read_behaviour(tmp_path)


def test_a_screening_reads_as_counts_with_reasons_and_comes_back_from_json():
    text = "17 of 20 attack prompts; left out: 3 not refused, 1 benign refused"
    assert str(SCREENING) == text
    nothing = Screening(attacks=20, shown=20, dropped=(), changed=None)
    assert str(nothing) == "20 of 20 attack prompts"
    for screening in (SCREENING, nothing):
        assert Screening.model_validate_json(screening.model_dump_json()) == screening


def test_the_summary_of_a_run_says_it_under_the_rate_of_success(tmp_path):
    run = backdoor_run()
    assert "shown by" not in run_summary(run, tmp_path)
    run = with_results(run, screening=SCREENING)
    lines = run_summary(run, tmp_path).split("\n")
    index = next(index for index, line in enumerate(lines) if line.startswith("ASR"))
    assert lines[index + 1] == f"  shown by    {SCREENING}"
