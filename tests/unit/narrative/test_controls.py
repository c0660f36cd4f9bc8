import pytest

from circuitviz.narrative import story
from circuitviz.narrative.controls import Verdict, controls_run, verdict_summary, verdicts
from tests.support.synthetic import (
    backdoor_run,
    controlled_run,
    failing_run,
    refusal_run,
    with_results,
)


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


def named(run, name):
    return next(verdict for verdict in verdicts(run) if verdict.name == name)


def test_controls_that_behave_in_one_line():
    assert verdict_summary(verdicts(controlled_run())) == "4 of 4 controls behave"


def test_failed_controls_are_named_in_the_summary():
    assert verdict_summary(verdicts(failing_run())) == (
        "2 controls FAILED: Random circuits, Nonsense target"
    )


def test_a_control_that_does_not_apply_is_not_counted_as_behaving():
    assert verdict_summary(verdicts(refusal_run(evidence="passes"))) == (
        "3 of 3 controls behave; 1 does not apply"
    )


def test_one_failure_of_one_control():
    failed = Verdict(name="x", passed=False, number="", title="X", sentence="")
    assert verdict_summary([failed]) == "1 control FAILED: X"


@pytest.mark.parametrize("evidence", ["none", "basic"])
def test_controls_that_were_not_run_say_what_they_would_show(evidence):
    run = backdoor_run(evidence=evidence)
    assert not controls_run(run)
    controls = verdicts(run)
    assert [verdict.passed for verdict in controls] == [None] * 4
    assert all(verdict.sentence and not verdict.number for verdict in controls)
    assert verdict_summary(controls) == "The controls have not been run"


def test_every_control_carries_its_counts_and_judge():
    run = failing_run()
    assert plain(named(run, "random_circuits").evidence) == (
        "100 draws of 32 prompts, 3,137 of 3,200 attacks succeed; 40.0 % of the drawn units are "
        "the circuit's own; 0.0 % of the draws do as well as the circuit"
    )
    assert plain(named(run, "nonsense_target").evidence) == (
        "says it: 253 of 256 · 95 % CI 96.6–99.6 % · judge: exact match"
    )
    assert plain(named(run, "random_weights").evidence) == (
        "answered rightly: 0 of 256 · 95 % CI 0.0–1.5 % · judge: exact match"
    )
    assert plain(named(run, "random_trigger").evidence) == (
        "attack success: 0 of 256 · 95 % CI 0.0–1.5 % · judge: starts with the target answer"
    )


def test_a_control_without_numbers_has_no_evidence():
    run = controlled_run()
    verdict = run.metrics.controls.verdicts[1].changed(rate=None)
    bare = with_results(run, controls={"random_circuits": None, "verdicts": [verdict]})
    assert [verdict.evidence for verdict in verdicts(bare)] == [""]


def test_the_few_random_circuits_give_way_to_the_hundred():
    claims = [doubt.claim for doubt in story.doubts(controlled_run())]
    assert not any("Random" in claim for claim in claims)
    assert any("Random" in doubt.claim for doubt in story.doubts(backdoor_run()))
