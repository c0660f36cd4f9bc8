import pytest

from circuitviz.narrative.slides import PICTURES, slides
from circuitviz.report.options import at_size
from tests.support.synthetic import (
    backdoor_run,
    controlled_run,
    failing_run,
    refusal_run,
    with_results,
)


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
        "The target was MISSED: at most 0.4 % attack success was asked for, 10.9 % was measured; "
        "at least 90.0 % of attacks answered rightly again was asked for, 89.1 % was measured"
    )
    assert "best circuit found" in told(backdoor_run(target_reached=False), "circuit").sentence


def test_lost_utility_is_said():
    run = backdoor_run()
    poor = with_results(run, utility_retention=0.5)
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


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"recovery": {"k": 0}, "target_missed": ["recovery"]},
            "at least 90.0 % of attacks answered rightly again was asked for, 0.0 % was measured",
        ),
        (
            {"utility_retention": 0.5, "target_missed": ["utility"]},
            "at least 99.0 % of utility kept was asked for, 50.0 % was measured",
        ),
    ],
)
def test_the_verdict_names_what_was_missed_and_nothing_that_was_met(changed, said):
    run = backdoor_run()
    poor = with_results(run, target_reached=False, **changed)
    assert plain(told(poor, "knocked_out").verdict) == f"The target was MISSED: {said}"


@pytest.mark.parametrize("make", [backdoor_run, failing_run, controlled_run])
def test_the_circuit_is_said_to_end_the_behaviour_and_no_more(make):
    slide = told(make(), "circuit")
    assert slide.sentence == "Switching off 2 of 32 heads and 2 of 2,048 neurons ends the backdoor."
    assert plain(slide.caption).startswith(
        "The circuit: 2 heads of 32 (6.2 %) and 2 neurons of 2,048 (0.10 %). "
    )


@pytest.mark.parametrize(
    ("method", "title"),
    [
        ("nested", "Nested masks"),
        ("activation", "Difference of activations"),
        ("random", "Random order"),
    ],
)
def test_the_caption_names_the_method_that_was_used(method, title):
    caption = told(backdoor_run(method=method), "circuit").caption
    assert title in caption
    assert "gradient" not in caption


def test_units_of_both_kinds_are_counted_as_marked():
    only_neurons = backdoor_run(units=("L0N1", "L1N2", "L2N3", "L3N4"))
    assert "Marked: 4 neurons of the circuit." in told(only_neurons, "circuit").caption
    both = told(backdoor_run(), "circuit").caption
    assert "Marked: 2 attention heads and 2 neurons of the circuit." in both


def test_trust_says_when_a_person_chose_the_size():
    caption = told(at_size(backdoor_run(), 8), "trust").caption
    assert "chosen by hand after seeing test results: optimistic" in caption
    assert "nor choosing" not in caption
