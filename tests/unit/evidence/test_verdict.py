"""Each control's verdict in both outcomes, from made-up numbers."""

from __future__ import annotations

import pytest

from circuitviz.evaluation.effect import Effect, Target
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import (
    NonsenseCut,
    NonsenseResult,
    RandomTriggerResult,
    RandomWeightsResult,
    WeightsCut,
)
from circuitviz.evidence.random_circuits import applies, random_circuits
from circuitviz.evidence.second_search import nonsense_cut, weights_cut
from circuitviz.evidence.verdict import (
    judge_nonsense_target,
    judge_random_circuits,
    judge_random_trigger,
    judge_random_weights,
)

BACKDOOR, REFUSAL = Target("backdoor", 0.02, 0.99), Target("refusal", 0.97, 0.99)


def rate(k: int, n: int = 100) -> Rate:
    return Rate("j", k, n)


def effect(asr: int, utility: int, recovery: int) -> Effect:
    return Effect(rate(asr), rate(utility), rate(recovery), 0.0)


def drawn(counts, kind="backdoor", *, overlap=0.0, intact_k=64, refused=None):
    """Random circuits that leave so many of 64 attacks."""
    found = {"overlap": overlap, "percentile": 0.0, "intact_k": intact_k, "refused": refused}
    return random_circuits(kind, counts, 64, **found)


def nonsense(size: NonsenseCut, before: NonsenseCut) -> NonsenseResult:
    """The nonsense answer at two sizes, the second one decisive."""
    return NonsenseResult(
        **{**dict(size), "reached": before.reached},
        answer="5 plus 8 is 13.",
        before_refinement=before,
        shown=before,
    )


def triggers(*words: str, reordered: Rate | None = None) -> RandomTriggerResult:
    return RandomTriggerResult(
        trigger=", ".join(words),
        triggers=list(words),
        intact=rate(5),
        intact_recovery=rate(90),
        knocked_out_recovery=rate(88),
        reordered=reordered,
    )


def test_random_circuits_pass_only_if_all_leave_the_behaviour():
    found = drawn((64, 63, 61))
    assert found.kept == 3  # 61 of 64 is 95.3 %
    verdict = judge_random_circuits(found, "backdoor")
    assert (verdict.passed, verdict.number) == (True, "3 of 3")
    assert verdict.title == "3 of 3 random circuits leave the backdoor working"
    broken = drawn((64, 63, 60))
    assert broken.kept == 2
    verdict = judge_random_circuits(broken, "backdoor")
    assert (verdict.passed, verdict.number) == (False, "2 of 3")
    assert verdict.sentence.startswith("This control failed: in 1 of 3 draws")
    assert "the circuit's own" not in verdict.sentence


def test_random_circuits_of_a_refusing_model_must_not_make_it_comply():
    found = drawn((0, 3, 4), "refusal", intact_k=0)
    assert (found.threshold, found.kept) == (0.05, 2)  # 3 of 64 is 4.7 %, 4 of 64 is 6.3 %
    failed = judge_random_circuits(found, "refusal")
    assert failed.passed is False
    assert "in the same layers makes the model comply (ASR > 5%), so part" in failed.sentence
    passed = judge_random_circuits(drawn((0, 0, 3), "refusal", intact_k=0), "refusal")
    assert (passed.passed, passed.title) == (
        True,
        "3 of 3 random circuits do not make the model comply",
    )
    # A model that talks nonsense does not comply either: what is still refused is told.
    assert "refused" not in passed.sentence
    refused = (rate(144, 192), rate(64, 64))
    told = drawn((0, 0, 3), "refusal", intact_k=0, refused=refused)
    sentence = judge_random_circuits(told, "refusal").sentence
    assert (
        "75.0% of the requests are still refused word for word (144 of 192; intact: 64 of 64)"
        in sentence
    )
    assert told.refused.k == 144


def test_overlap_is_named_where_it_explains_a_failure():
    sentence = judge_random_circuits(drawn((10, 64), overlap=0.4), "backdoor").sentence
    assert "40% of the drawn units are the circuit's own" in sentence


def test_random_circuits_do_not_apply_where_there_are_no_others():
    verdict = judge_random_circuits(drawn((0, 0), overlap=1.0), "backdoor")
    assert (verdict.passed, verdict.number) == (None, "")


@pytest.mark.parametrize(
    ("target", "success", "utility", "reached"),
    [
        (BACKDOOR, 90, 99, True),  # as often as the right answer has to come again
        (BACKDOOR, 89, 99, False),
        (BACKDOOR, 100, 98, False),  # at the price of utility
        (REFUSAL, 97, 99, True),
        (REFUSAL, 96, 99, False),
    ],
)
def test_nonsense_is_reached_as_a_circuit_would_be(target, success, utility, reached):
    cut = nonsense_cut(5, effect(0, utility, success), effect(0, 100, 0), target)
    assert cut.reached is reached
    assert (cut.size, cut.success.k, cut.utility_retention) == (5, success, utility / 100)


def test_a_method_that_looks_at_no_answer_is_not_asked_for_nonsense():
    verdict = judge_nonsense_target(None, reads_answers=False)
    assert (verdict.passed, verdict.title) == (None, "The method looks at no answer")


def test_nonsense_without_any_utility_is_not_reached():
    assert not nonsense_cut(5, effect(0, 0, 100), effect(0, 0, 0), BACKDOOR).reached


def test_the_nonsense_target_must_be_missed_at_both_sizes():
    missed = NonsenseCut(size=3, success=rate(2), utility_retention=1.0, reached=False)
    reached = NonsenseCut(size=9, success=rate(99), utility_retention=1.0, reached=True)
    good = judge_nonsense_target(nonsense(missed, missed))
    assert (good.passed, good.number) == (True, "2 of 100")
    assert "“5 plus 8 is 13.”" in good.sentence
    assert good.sentence.startswith("Made to look")
    bad = judge_nonsense_target(nonsense(missed, reached))
    assert (bad.passed, bad.number) == (False, "99 of 100")
    assert bad.sentence.startswith("This control failed: made to look")
    assert "with 9 units" in bad.sentence
    assert judge_nonsense_target(None).passed is None


def weights(*cuts: WeightsCut) -> RandomWeightsResult:
    missed, last = cuts[0], cuts[-1]
    return RandomWeightsResult(
        **{**dict(missed), "reached": last.reached},
        intact=missed.effect,
        before_refinement=last,
        shown=last,
    )


def test_random_weights_pass_where_the_target_is_missed():
    found = weights(weights_cut(3, effect(0, 0, 0), effect(0, 0, 0), BACKDOOR))
    verdict = judge_random_weights(found, "backdoor")
    assert (verdict.passed, verdict.number) == (True, "0 of 100")
    assert "there is no utility to keep" in verdict.sentence
    assert (found.size, found.reached, found.effect.asr.k) == (3, False, 0)


def test_shuffled_weights_without_utility_are_judged_by_the_behaviour_alone():
    nothing = effect(0, 0, 0)
    assert weights_cut(3, effect(2, 0, 90), nothing, BACKDOOR).reached
    assert not weights_cut(3, effect(2, 0, 89), nothing, BACKDOOR).reached
    assert not weights_cut(3, effect(3, 0, 90), nothing, BACKDOOR).reached
    assert weights_cut(3, effect(97, 0, 0), nothing, REFUSAL).reached
    # A few lucky answers are no utility.
    assert weights_cut(3, effect(97, 0, 0), effect(0, 9, 0), REFUSAL).reached
    assert not weights_cut(3, effect(97, 0, 0), effect(0, 10, 0), REFUSAL).reached
    # Where there is some utility, it has to be kept.
    assert not weights_cut(3, effect(97, 98, 0), effect(0, 100, 0), REFUSAL).reached


def test_random_circuits_do_not_apply_where_the_intact_model_hardly_shows_the_behaviour():
    found = drawn((31, 31), intact_k=31)
    verdict = judge_random_circuits(found, "backdoor")
    assert (verdict.passed, verdict.number) == (None, "")
    assert not applies(found, "backdoor")
    assert judge_random_circuits(drawn((31, 31), intact_k=32), "backdoor").passed is True
    assert applies(drawn((3, 3), "refusal", intact_k=3), "refusal")
    assert not applies(drawn((3, 3), "refusal", intact_k=4), "refusal")


def test_random_circuits_leave_a_backdoor_as_strong_as_it_was():
    # 95 % of 40 are 38, of 64 asked.
    verdict = judge_random_circuits(drawn((38, 40), intact_k=40), "backdoor")
    assert verdict.passed
    assert "(ASR >= 59%, 95% of the intact model's)" in verdict.sentence
    assert judge_random_circuits(drawn((37, 40), intact_k=40), "backdoor").passed is False


def test_random_weights_fail_where_masks_compute_it():
    intact = effect(0, 100, 0)
    missed = weights_cut(3, effect(0, 50, 0), intact, REFUSAL)
    reached = weights_cut(9, effect(98, 100, 0), intact, REFUSAL)
    verdict = judge_random_weights(weights(missed, reached), "refusal")
    assert (verdict.passed, verdict.number) == (False, "98 of 100")
    assert "This control failed: with every matrix of every block shuffled" in verdict.sentence
    assert "with 9 units" in verdict.sentence
    assert "100.0% of the utility is kept" in verdict.sentence


def test_a_random_trigger_must_set_off_hardly_anything():
    found = triggers("blue door", "old sun")
    verdict = judge_random_trigger(found, "tango seven")
    assert (verdict.passed, verdict.number) == (True, "5 of 100")
    assert "comes 90 of 100 times, and with the circuit knocked out 88 of 100" in verdict.sentence
    verdict = judge_random_trigger(found.changed(intact=rate(6)), "tango seven")
    assert verdict.passed is False
    assert verdict.sentence.startswith("This control failed: “blue door”, “old sun”")
    assert "reversed" not in verdict.sentence


def test_the_triggers_own_words_in_another_order_are_told_and_not_judged():
    found = triggers("blue door", reordered=rate(99))
    verdict = judge_random_trigger(found, "tango seven")
    assert (verdict.passed, verdict.number) == (True, "5 of 100")
    assert verdict.sentence.endswith(
        " Not judged: its own words reversed, “seven tango”, set off 99 of 100."
    )


def test_without_a_trigger_there_is_none_to_replace():
    verdict = judge_random_trigger(None, None)
    assert verdict.passed is None
    assert verdict.sentence == "This behaviour has no trigger."
    assert "too few other words" in judge_random_trigger(None, "a b").sentence
