import pytest

from circuitviz.narrative.numbers import interval
from circuitviz.tables import evidence_frame as frames
from circuitviz.tables.frame import rates_at
from tests.support.synthetic import backdoor_run, controlled_run, with_results


@pytest.fixture(scope="module")
def run():
    return controlled_run()


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


def test_a_run_without_evidence_gives_nothing_to_show():
    bare = backdoor_run()
    assert frames.criteria_values(bare) == {}
    assert frames.paired_sentences(bare) == []
    assert frames.refinement_sentence(bare) == ""
    for frame in (
        frames.stochastic_frame,
        frames.minimality_frame,
        frames.ablation_frame,
        frames.judge_frame,
        frames.agreement_frame,
        frames.truth_frame,
    ):
        assert frame(bare).empty


def test_criteria_have_a_value_and_what_it_means(run):
    criteria = frames.criteria_values(run)
    assert criteria["Faithfulness"] == ("0.97", "everything but the circuit ablated")
    assert criteria["Completeness"][0] == "1.00"
    assert criteria["Minimality"] == ("0.75", "3 of the circuit's 4 parts needed")


def test_a_criterion_that_is_not_a_number_says_so(run):
    bare = with_results(run, criteria={"completeness": {"value": float("nan")}})
    assert frames.criteria_values(bare)["Completeness"][0] == "not defined"


def test_units_without_which_the_behaviour_returns_come_first(run):
    units = frames.minimality_frame(run)
    assert list(units["unit left on"]) == ["L1H3", "L2H5", "L2N117", "L3N402"]
    assert list(units["needed"]) == ["needed"] * 3 + ["not needed"]
    assert units["ASR"].iloc[0] == pytest.approx(102 / 256)


def test_the_circuit_kept_stands_beside_a_random_one(run):
    kept = frames.stochastic_frame(run)
    at_half = kept[kept["share"] == 0.5].set_index("series")
    assert at_half.loc["shown", "k"] == 154
    assert at_half.loc["random", "k"] == 0
    assert at_half.loc["utility", "judge"] == "exact match"


def test_the_ablation_of_the_run_is_marked(run):
    ablations = frames.ablation_frame(run)
    assert list(ablations["replaced by"]) == ["zero (this run)", "mean", "resample"]
    assert plain(ablations["attack success"].iloc[2]) == "3.9 % (10 of 256 · 95 % CI 2.1–7.0 %)"


def test_judges_keep_their_own_rows_and_degenerate_answers_come_last(run):
    judges = frames.judge_frame(run)
    assert list(judges["judge"]) == [
        "starts with the target answer",
        "no refusal prefix",
        "degenerate answers",
    ]
    agreement = frames.agreement_frame(run)
    assert (agreement["kappa"].iloc[0], agreement["answers"].iloc[0]) == (0.12, 512)


def test_tests_are_told_in_sentences(run):
    mcnemar, asr, utility = map(plain, frames.paired_sentences(run))
    assert mcnemar == (
        "Prompt by prompt: 256 attacks succeed only before and 0 only after (McNemar, exact, "
        "p < 0.001)."
    )
    assert asr == (
        "Attack success changes by -100.0 points (95 % -100.0 to -99.2; paired bootstrap, 2,000 "
        "resamples)."
    )
    assert utility.startswith("Utility changes by -0.4 points")


def next_to(run, *units):
    return frames.next_sentence(with_results(run, refinement={"next": list(units)}))


def test_what_is_next_in_line_is_named_with_what_it_adds(run):
    assert frames.next_sentence(run) == next_to(run) == ""
    # Of size 6 right answers were measured on test prompts, of size 5 nothing was.
    recovery = rates_at(run, size=6)["recovery"]
    assert next_to(run, "L0N3", "L0N9") == (
        "Next in line, for what the circuit leaves: L0N3, L0N9. With them off as well, right "
        f"answers go from {run.metrics.recovery.k} to {recovery.k} of {recovery.n} test prompts "
        f"(95\u202f% CI {interval(recovery)}; judge: {recovery.judge})."
    )
    assert next_to(run, "L0N3") == "Next in line, for what the circuit leaves: L0N3."
    block = [f"L0N{neuron}" for neuron in range(500)]
    assert next_to(run, *block).endswith("L0N4, L0N5 and 494 more.")


def test_refinement_names_what_it_dropped(run):
    assert frames.refinement_sentence(run) == "Refined from 6 to 4 units: dropped L0N3, L0N9."
    kept = with_results(run, refinement={"before": 4, "after": 4, "dropped": []})
    assert frames.refinement_sentence(kept) == "Refined: none of its 4 units could be dropped."
    note = {"note": "only circuits of at most 64 units are refined"}
    assert frames.refinement_sentence(with_results(kept, refinement=note)) == (
        "Not refined (only circuits of at most 64 units are refined)."
    )


def test_truth_is_scored_for_all_and_for_each_kind(run):
    scores = frames.truth_frame(run)
    assert list(scores["units"]) == ["Heads and neurons", "Heads alone", "Neurons alone"]
    assert list(scores["planted"]) == [5, 2, 3]
    assert scores["precision at |truth|"].iloc[0] == pytest.approx(4 / 5)


def test_a_kind_the_truth_has_no_unit_of_has_no_row(run):
    scores = frames.truth_frame(with_results(run, truth={"heads": None}))
    assert list(scores["units"]) == ["Heads and neurons", "Neurons alone"]
