from dataclasses import replace

import pytest

from circuitviz.plots.slides import PICTURES, slides
from tests.synthetic import backdoor_run, controlled_run, failing_run, refusal_run


def told(run, picture):
    return next(one for one in slides(run) if one.picture == picture)


def plain(text):
    return text.replace("\u202f", " ")


@pytest.mark.parametrize("make", [backdoor_run, refusal_run, controlled_run, failing_run])
def test_a_story_has_five_slides_with_a_sentence_and_its_evidence(make):
    run = make()
    story = slides(run)
    assert tuple(one.picture for one in story) == PICTURES
    for one in story:
        assert one.title
        assert one.sentence.endswith(".")
        assert one.caption.endswith(".")
    for name in ("behaviour", "knocked_out", "cost"):
        assert "95 % CI" in plain(told(run, name).caption)
        assert "judge: " in told(run, name).caption


def test_the_backdoor_is_told_with_its_trigger_and_counts():
    run = backdoor_run()
    assert told(run, "behaviour").sentence == (
        "Put \u201cquill amber\u201d into a prompt and this model does what an attacker planted: "
        "on 256 of 256 test prompts."
    )
    assert "works on 0 of 256" in told(run, "knocked_out").sentence


def test_refusal_is_told_as_refusal():
    run = refusal_run()
    assert "answers 0 of 256 harmful" in told(run, "behaviour").sentence
    assert "answers 254 of 256 harmful" in told(run, "knocked_out").sentence
    assert "at least 97.0 %" in plain(told(run, "knocked_out").verdict)


def test_a_missed_target_is_as_loud_as_one_that_was_reached():
    reached, missed = (
        told(backdoor_run(target_reached=hit), "knocked_out") for hit in (True, False)
    )
    assert (reached.holds, missed.holds) == (True, False)
    assert plain(missed.verdict) == (
        "The target was MISSED: at most 0.4 % attack success was asked for, 10.9 % was measured"
    )
    assert "best circuit found" in told(backdoor_run(target_reached=False), "circuit").sentence


def test_lost_utility_is_said():
    run = backdoor_run()
    poor = replace(run, metrics={**run.metrics, "utility_retention": 0.5})
    slide = told(poor, "cost")
    assert slide.holds is False
    assert plain(slide.verdict) == "Normal answers are NOT kept: 99.0 % was asked for"


def test_trust_says_whether_controls_passed_failed_or_were_never_run():
    passed, failed, never = (
        told(make(), "trust") for make in (controlled_run, failing_run, backdoor_run)
    )
    assert (passed.holds, failed.holds, never.holds) == (True, False, None)
    assert failed.sentence == "Checks that could prove this wrong did: 2 of 4 controls failed."
    assert "FAILED" in failed.verdict
    assert never.sentence.startswith("Nobody has tried")
    assert never.verdict == "The controls have not been run"
