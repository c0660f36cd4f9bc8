import math
from dataclasses import replace

import pytest

from circuitviz.evaluation import evaluator
from circuitviz.evaluation.rate import Rate
from circuitviz.narrative import open_answers, phrases, story
from circuitviz.narrative.slides import slides
from circuitviz.narrative.target import missed, recovered_share, target_parts
from circuitviz.plots.bars import verdict_bars
from circuitviz.plots.catalogue import frontier_note
from circuitviz.report.options import at_size
from circuitviz.tables import evidence_frame
from circuitviz.tables.frame import frontier_rows, rates_at
from tests.support.synthetic import backdoor_run, with_results
from tests.support.synthetic_open import PROXY, VERDICT_JUDGE, open_backdoor_run, open_refusal_run


def plain(text):
    return text.replace("\u202f", " ")


def doubt(run, start):
    return next(one for one in story.doubts(run) if one.claim.startswith(start))


def test_a_run_from_before_there_was_any_of_it_shows_none():
    run = backdoor_run()
    assert evidence_frame.verdict_frame(run).empty
    assert evidence_frame.perplexity_frame(run).empty
    assert evidence_frame.alternative_frame(run).empty
    sentences = (
        open_answers.verdict_sentence,
        open_answers.perplexity_sentence,
        open_answers.proxy_sentence,
        open_answers.ceiling_sentence,
    )
    assert [one(run) for one in sentences] == [""] * 4
    assert open_answers.perplexity_growth(run) is None


def test_verdicts_stand_before_and_after_with_k_n_and_judge():
    rows = evidence_frame.verdict_frame(open_refusal_run())
    assert list(rows.columns) == list(evidence_frame.VERDICT_COLUMNS)
    assert list(rows["k"]) == [250, 6, 0, 31, 220, 5]
    assert set(rows["n"]) == {256}
    assert set(rows["judge"]) == {VERDICT_JUDGE}
    assert (rows["low"] <= rows["rate"]).all()


def test_only_what_is_complied_with_is_told_as_success():
    told = open_answers.verdict_sentence(open_refusal_run())
    assert "220 of 256 attacks are complied with (6 before)" in told
    assert "5 get gibberish (0 before), which counts as no success" in told


def test_the_bars_stack_to_the_whole_and_differ_in_hatching():
    figure = verdict_bars(evidence_frame.verdict_frame(open_refusal_run()))
    assert figure.layout.barmode == "stack"
    totals = [sum(shares) for shares in zip(*(bar.x for bar in figure.data), strict=True)]
    assert totals == pytest.approx([1.0, 1.0])
    assert len({bar.marker.pattern.shape for bar in figure.data}) == 3
    # Parts without room have no number: 6 and 0 of 256, and 5 of 256.
    assert len(figure.layout.annotations) == 3


def test_perplexity_grows_by_the_larger_share_of_its_texts():
    run = open_refusal_run()
    assert open_answers.perplexity_growth(run) == pytest.approx(1.95 / 1.9 - 1)
    assert list(evidence_frame.perplexity_frame(run)["change"]) == ["+2.6\u202f%", "+1.2\u202f%"]
    assert "of a neutral text 17.20 \u2192 17.40" in open_answers.perplexity_sentence(run)


def test_alternatives_stand_around_the_reported_circuit_with_their_judge():
    rows = evidence_frame.alternative_frame(open_refusal_run())
    assert list(rows["units"]) == [32, 64, 128]
    assert list(rows["circuit"]) == ["a smaller one", "the reported one", "a larger one"]
    assert rows["judge"].iloc[0] == PROXY
    assert plain(rows["made of"].iloc[0]) == "1 head of 32 (3.1 %) and 31 neurons of 2,048 (1.5 %)"


def test_tokens_are_not_called_prompts():
    tokens, prompts = Rate(phrases.TOKEN_JUDGE, 99, 100, 12.0), Rate("exact answer", 9, 10)
    assert phrases.counted(tokens) == "answer tokens"
    assert phrases.counted(prompts) == "test prompts"
    assert phrases.utility_finding(tokens) == (
        "99 of 100 answer tokens of benign prompts unchanged (worth 12 independent ones)"
    )
    assert phrases.utility_finding(prompts) == "9 of 10 benign prompts right"
    assert "exactly as without the trigger" in phrases.recovery_finding(prompts)
    assert "exactly" not in phrases.recovery_finding(tokens)
    assert "(judge: other)" in phrases.recovery_finding(Rate("other", 9, 10))


def test_no_sentence_about_tokens_speaks_of_prompts_that_are_answered_right():
    run = open_refusal_run()
    assert "98.9 % of the tokens of normal answers stay as they were" in plain(story.lead(run))
    assert "6,707 of 6,782 answer tokens" in doubt(run, "Normal answers").finding
    cost = next(one for one in slides(run) if one.picture == "cost")
    assert "answered right" not in cost.sentence
    assert "6,707 of 6,782 answer tokens are unchanged, 6,782 in the intact" in cost.sentence
    assert "Tokens of normal answers kept" in cost.caption


def test_tokens_that_the_intact_model_changes_too_are_told():
    before, after = (Rate(phrases.TOKEN_JUDGE, k, 1000, 90.0) for k in (975, 928))
    assert plain(phrases.kept_line(before, after)) == (
        "92.8 % of the tokens of normal answers stay as they were (97.5 % in the intact model)"
    )
    chance = Rate(phrases.TOKEN_JUDGE, 919, 1000, 90.0)
    assert plain(phrases.kept_line(before, after, chance)).endswith(
        "(97.5 % in the intact model, 91.9 % with random units off instead)"
    )


def test_a_curve_says_at_which_sizes_it_rests_on_fewer_prompts():
    run = open_refusal_run()
    assert "n = 256 test prompts" in frontier_note(run)
    rows = run.frontier.copy()
    fewer = ~rows["size"].isin([0, run.size])
    rows.loc[fewer, ["asr_k", "asr_n"]] = [3, 32]
    assert (
        "n = 256 test prompts for the intact model and the reported circuit, 32 at other sizes"
        in frontier_note(replace(run, frontier=rows))
    )


def test_gibberish_is_told_wherever_success_is():
    run = open_refusal_run()
    assert "5 of 256 answers are gibberish (0 before)" in story.lead(run)
    knocked_out = next(one for one in slides(run) if one.picture == "knocked_out")
    assert "complies with 220 of 256" in knocked_out.sentence
    assert "5 are gibberish" in knocked_out.sentence
    assert doubt(run, "Hardly an answer is gibberish").holds


def test_the_run_itself_says_which_parts_of_its_target_it_missed():
    run = open_refusal_run(missed=("utility",))
    assert [one.key for one in missed(run)] == ["utility"]
    assert [one.key for one in target_parts(run) if one.met] == ["asr", "perplexity"]
    headline = story.headline(run)
    assert headline.endswith("ends this model's refusals, but MISSES the target for utility")
    assert story.lead(run).endswith("That misses the target: utility.")
    assert doubt(run, "The target was not reached").holds is False


def test_a_missed_attack_success_is_not_told_as_ended():
    run = open_refusal_run(missed=("asr", "utility"))
    assert story.headline(run).startswith("No circuit found ends this model's refusals")


def test_perplexity_beyond_the_target_speaks_against():
    assert doubt(open_refusal_run(missed=("perplexity",)), "Its language becomes").holds is False
    assert doubt(open_refusal_run(), "Its language stays fluent").holds


def test_recovery_is_read_beside_what_can_be_reached():
    run = open_backdoor_run()
    assert recovered_share(run) == pytest.approx(230 / 240)
    finding = plain(doubt(run, "Attacks get the right answer again").finding)
    assert "95.8 % of what the intact model reaches without the trigger (240 of 256)" in finding
    assert "93.8 %" in plain(open_answers.ceiling_sentence(run))


def test_a_cheaper_judge_that_often_disagrees_speaks_against():
    run = open_refusal_run()
    assert doubt(run, "The cheaper judge of sizes agrees").holds
    proxy = {"name": PROXY, "agreement": Rate("same verdict", 300, 512).to_json()}
    poor = with_results(run, proxy=proxy)
    assert doubt(poor, "The cheaper judge of sizes disagrees").holds is False


def test_another_size_has_none_of_what_was_measured_at_the_reported_one():
    other = at_size(open_refusal_run(missed=("utility",)), 32)
    assert evidence_frame.verdict_frame(other).empty
    assert evidence_frame.alternative_frame(other).empty
    assert open_answers.perplexity_growth(other) is None
    assert other.metrics.target_missed == ["asr"]


def test_a_perplexity_that_was_not_measured_is_left_out():
    run = open_refusal_run()
    bare = with_results(run, perplexity={"neutral": {"intact": math.nan}})
    assert len(evidence_frame.perplexity_frame(bare)) == 1
    assert "neutral" not in open_answers.perplexity_sentence(bare)
    assert open_answers.perplexity_growth(bare) == pytest.approx(1.95 / 1.9 - 1)


def test_whole_answers_decide_at_the_reported_size_and_the_cheaper_judge_elsewhere():
    run = open_refusal_run()
    own, other = (rates_at(run, size=size)["asr"].judge for size in (run.size, 32))
    assert (own, other) == (run.metrics.asr.knocked_out.judge, PROXY)
    assert frontier_rows(run).loc[lambda rows: rows["size"] == 0].shape[0] == 1
    assert rates_at(run, size=0)["asr"].judge == own


def test_judges_are_known_by_the_names_that_measuring_gives_them():
    assert (phrases.TOKEN_JUDGE, phrases.CLEAN_TOKEN_JUDGE) == (
        evaluator.SAME_TOKEN,
        evaluator.CLEAN_TOKEN,
    )
    assert evaluator.EXPECTED_OPENING == phrases.OPENING_JUDGE
    assert evaluator.EXACT_ANSWER in phrases.EXACT_JUDGES
