from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from circuitviz.tables import frame
from circuitviz.units import Circuit, Unit, UnitSpace
from tests.support.synthetic import (
    GRID_HEADS,
    GRID_NEURONS,
    SIZES,
    backdoor_run,
    refusal_run,
    with_results,
)


@pytest.fixture(scope="module")
def run():
    return backdoor_run()


def test_only_test_rows_of_one_budget_are_shown(run):
    rows = frame.frontier_rows(run)
    assert set(rows["split"]) == {"test"}
    assert set(rows["budget"]) == {"joint"}
    assert set(rows["condition"]) == {"knocked_out"}
    assert run.joint_sizes == list(SIZES)


def test_budget_points_are_the_whole_grid(run):
    assert len(run.budget_points) == len(GRID_HEADS) * len(GRID_NEURONS)


def test_tradeoff_has_a_row_per_size_and_series_with_its_interval(run):
    curve = frame.tradeoff_frame(run)
    assert list(curve.columns) == list(frame.TRADEOFF_COLUMNS)
    assert len(curve) == 3 * len(SIZES)
    point = curve[(curve["size"] == 4) & (curve["series"] == "asr")].iloc[0]
    assert (point["k"], point["n"], point["rate"], point["low"]) == (0, 256, 0.0, 0.0)
    # Wilson's upper end at k = 0 is z^2 / (n + z^2).
    assert point["high"] == pytest.approx(3.8415 / (256 + 3.8415), abs=1e-6)


def test_rates_of_the_reported_circuit_are_the_headline_numbers(run):
    rates = frame.rates_at(run)
    assert rates["asr"] == run.metrics.asr.knocked_out
    assert set(rates) == {"asr", "utility", "recovery"}


def test_rates_of_another_size_come_from_the_frontier(run):
    assert (frame.rates_at(run, size=2)["asr"].k, frame.rates_at(run, size=0)["asr"].k) == (51, 256)


def test_rates_of_separate_budgets_come_from_the_grid(run):
    assert frame.rates_at(run, heads=0, neurons=0)["asr"].n == 64


def test_a_size_that_was_not_evaluated_has_no_rates(run):
    assert frame.rates_at(run, size=7) == {}


def test_conditions_show_the_controls_next_to_the_claim(run):
    conditions = frame.condition_frame(run)
    assert list(dict.fromkeys(conditions["condition"])) == [
        "Intact model",
        "Circuit off",
        "Random circuit off",
        "Only the circuit on",
    ]


def test_a_run_without_controls_shows_none(run):
    assert len(frame.condition_frame(with_results(run, random=None, isolated=None))) == 4


def test_units_are_ranked_and_know_whether_they_are_in_the_circuit(run):
    units = frame.unit_frame(run, run.circuit(), top=6)
    assert list(units["unit"]) == ["L1H3", "L2H5", "L2N117", "L3N402", "L1N40", "L3N7"]
    assert list(units["rank"]) == [1, 2, 3, 4, 5, 6]
    assert list(units["in_circuit"]) == [True] * 4 + [False] * 2


def test_units_of_one_kind_keep_their_rank_among_all(run):
    neurons = frame.unit_frame(run, run.circuit(), "neuron", top=1)
    assert list(neurons["unit"]) == ["L2N117", "L3N402"]
    assert list(neurons["rank"]) == [3, 4]


def test_bins_hold_the_best_score_and_the_neuron_that_has_it():
    scores = np.array([[0.0, 5.0, 1.0, 2.0, 9.0], [4.0, 3.0, 2.0, 1.0, 0.0]])
    best, neuron = frame.bin_neurons(scores, 2)
    assert best.tolist() == [[5.0, 9.0], [4.0, 2.0]]
    assert neuron.tolist() == [[1, 4], [0, 2]]


def test_more_bins_than_neurons_is_one_bin_each():
    best, neuron = frame.bin_neurons(np.array([[3.0, 1.0]]), 256)
    assert (best.tolist(), neuron.tolist()) == ([[3.0, 1.0]], [[0, 1]])


def test_generations_start_with_the_attacks_whose_verdict_changed(run):
    rows = frame.generation_frame(run)
    assert rows.iloc[0]["verdict_intact"] == "success"
    assert rows["changed"].sum() == 257
    assert list(rows["changed"]) == sorted(rows["changed"], reverse=True)


def test_generations_that_ended_in_gibberish_come_after_the_others(run):
    answers = run.generations.copy()
    first = frame.generation_frame(run).iloc[0]
    is_first = (answers["prompt_id"] == first["prompt_id"]) & (answers["variant"] == "triggered")
    answers.loc[is_first, "verdict_knocked_out"] = "broken"
    rows = frame.generation_frame(replace(run, generations=answers))
    assert rows.iloc[0]["prompt_id"] != first["prompt_id"]
    attacks = rows[rows["changed"] & (rows["role"] == "attack")]
    assert attacks.iloc[-1]["prompt_id"] == first["prompt_id"]


def test_variants_of_a_prompt_are_clean_then_triggered(run):
    assert list(frame.variant_pairs(run.generations, "test-003")) == ["clean", "triggered"]
    assert list(frame.variant_pairs(refusal_run().generations, "harm-003")) == ["clean"]


def test_units_of_one_kind_as_cells():
    units = [Unit("head", 1, 3), Unit("neuron", 2, 117)]
    assert frame.units_of(units, "head") == [(1, 3)]
    assert frame.units_of(units, "neuron") == [(2, 117)]


def test_an_unknown_unit_has_no_saved_effect(run):
    assert frame.unit_effect(run, Unit("neuron", 0, 0)) is None
    assert frame.unit_effect(run, Unit("head", 1, 3)).k == 182


def test_empty_frontier_gives_empty_frames(run):
    empty = replace(run, frontier=run.frontier.iloc[:0])
    assert isinstance(frame.tradeoff_frame(empty), pd.DataFrame)
    assert empty.joint_sizes == []
    assert empty.budget_points == []


def test_a_layer_lists_all_its_neurons(run):
    layer = frame.layer_frame(run, run.circuit(), 2)
    assert len(layer) == 512
    assert list(layer.loc[layer["in_circuit"], "unit"]) == ["L2N117"]


def test_a_run_without_a_random_control_has_none(run):
    assert frame.random_control(run) == (4, run.metrics.asr.intact)
    assert frame.random_control(with_results(run, random=None)) is None


def test_a_very_wide_layer_lists_its_best_neurons_and_those_of_the_circuit():
    space = UnitSpace(n_layers=1, n_heads=1, d_mlp=5000)
    scores = np.arange(5001.0)[::-1]
    run = replace(backdoor_run(), space=space, scores=scores)
    layer = frame.layer_frame(run, Circuit.of(space, ["L0N4999"]), 0)
    assert len(layer) == frame.LAYER_ROWS + 1
    assert list(layer["unit"].iloc[[0, 1, -1]]) == ["L0N0", "L0N1", "L0N4999"]
    assert list(layer.loc[layer["in_circuit"], "unit"]) == ["L0N4999"]


def test_a_list_of_units_can_be_cut(run):
    everything = run.circuit().complement
    assert len(frame.unit_frame(run, everything)) == 2080
    cut = frame.unit_frame(run, everything, most=10)
    assert list(cut["rank"]) == list(range(1, 11))


def test_sizes_are_judged_by_the_cheaper_judge_and_tokens_are_worth_what_the_run_says(run):
    token = {"judge": "answer token unchanged", "k": 900, "n": 1000, "effective_n": 50.0}
    proxy = {"name": "first 16 tokens", "agreement": token}
    opened = with_results(run, utility={"intact": token, "knocked_out": token}, proxy=proxy)
    rates = frame.rates_at(opened, size=2)
    assert rates["asr"].judge == "first 16 tokens"
    assert (rates["utility"].n, rates["utility"].effective_n) == (256, 12.8)
    assert rates["asr"].effective_n is None
    assert frame.rates_at(opened)["asr"].judge == run.metrics.asr.intact.judge
