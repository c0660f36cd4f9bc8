import numpy as np
import pytest

from circuitviz.plots.agreement import layer_bars, overlap_heatmap
from circuitviz.runs.comparison import compare_runs
from circuitviz.tables import comparison_frame as frames
from circuitviz.units import UnitSpace
from tests.support.synthetic import (
    backdoor_run,
    controlled_run,
    other_method_run,
    other_seed_run,
    with_results,
)

RUNS = (controlled_run(), other_seed_run(), other_method_run())
LABELS = {run.run_id: letter for run, letter in zip(RUNS, "ABC", strict=True)}


@pytest.fixture(scope="module")
def two():
    return compare_runs(RUNS[:2])


@pytest.fixture(scope="module")
def runs():
    return {"first": RUNS[0], "second": RUNS[1]}


@pytest.fixture(scope="module")
def three():
    return compare_runs(RUNS)


def test_two_runs_in_one_line(two):
    # 3 shared units of 5 in either.
    assert frames.agreement_sentence(two) == (
        "They partly agree: Jaccard 0.60, by chance 0.02; 3 units are in the circuit of both runs"
    )
    assert frames.shared_units_sentence(two).startswith(
        "Found by all: L1H3, L2H5, L2N117. 2 units more are in the circuit of some only."
    )


def test_three_runs_in_one_line(three):
    # Jaccard 3/5, 1/7 and 1/7.
    assert frames.agreement_sentence(three).startswith(
        "They hardly agree: mean Jaccard 0.30, by chance 0.02;"
    )
    assert frames.agreement_sentence(three).endswith("1 unit is in the circuit of all 3 runs")


def test_nothing_in_common_is_said(two):
    unit = next(one for one in two.units if one.found_by == 1)
    changed = two.changed(units=[unit], mean_jaccard=0.0, chance_jaccard=0.0004)
    assert frames.agreement_sentence(changed) == (
        "They hardly agree: Jaccard 0.00, by chance 0.0004; no unit is in the circuit of both runs"
    )
    assert frames.shared_units_sentence(changed).startswith(
        "1 unit more is in the circuit of some only."
    )


def test_only_settings_that_differ_are_listed(two, three):
    assert frames.setting_frame(two, LABELS).to_dict("records") == [
        {"setting": "seed", "A": "0", "B": "1"}
    ]
    assert list(frames.setting_frame(three, LABELS)["setting"]) == ["method", "seed"]


def test_numbers_stand_side_by_side_with_their_evidence(three):
    numbers = frames.number_frame(three, LABELS).set_index("")
    assert list(numbers.columns) == ["A", "B", "C"]
    assert numbers.loc["attack success", "A"].startswith("0.0")
    assert "0 of 256" in numbers.loc["attack success", "A"]
    assert numbers.loc["precision at |truth|", "C"] == pytest.approx(0.2)
    assert numbers.loc["size", "B"] == "4 (2 heads, 2 neurons)"


def test_what_no_run_has_measured_has_no_row(two):
    bare = two.changed(runs=[run.changed(truth=None, frontier_area=None) for run in two.runs])
    rows = list(frames.number_frame(bare, LABELS)[""])
    assert "AUROC" not in rows
    assert "frontier area" not in rows


def test_the_overlap_is_symmetric_and_names_chance(three):
    names, values, hover = frames.overlap_matrix(three, LABELS)
    assert names == ["A", "B", "C"]
    expected = [[1, 3 / 5, 1 / 7], [3 / 5, 1, 1 / 7], [1 / 7, 1 / 7, 1]]
    np.testing.assert_allclose(values, expected)
    assert "by chance 0.02" in hover[0][1]
    assert "3 units in both, 1 only in the first" in hover[0][1]
    figure = overlap_heatmap(names, values, hover)
    assert figure.data[0].hovertext[0][1] == hover[0][1]
    assert list(figure.data[1].text)[:3] == ["1.00", "0.60", "0.14"]


def test_pairs_carry_their_tests(two):
    (row,) = frames.pair_frame(two, LABELS).to_dict("records")
    assert row["Jaccard (chance)"] == "0.60 (0.02)"
    assert row["units in both / only first / only second"] == "3 / 1 / 1"
    assert "McNemar p = 1.000" in row["attack success, second against first"]


def test_pairs_of_other_prompts_have_no_test(two):
    pair = two.pairs[0].changed(mcnemar=None, asr_difference=None)
    (row,) = frames.pair_frame(two.changed(pairs=[pair]), LABELS).to_dict("records")
    assert row["attack success, second against first"].startswith("no test")


def test_units_say_which_runs_found_them(three):
    units = frames.shared_unit_frame(three, LABELS)
    first = units.iloc[0]
    assert (first["unit"], first["found by"], first["stable"]) == ("L2H5", "3 of 3", "✓ stable")
    by_unit = units.set_index("unit")
    assert list(by_unit.loc["L1N40", ["A", "B", "C"]]) == ["", "◆", ""]


def test_heads_are_counted_over_circuits(three):
    counts = frames.head_counts(three, RUNS[0].space)
    assert (counts[1, 3], counts[2, 5], counts[3, 1], counts.sum()) == (2, 3, 1, 6)
    assert frames.circuit_heads(three, 2) == [(2, 5), (3, 1)]


def test_heads_are_ranked_among_heads():
    space = UnitSpace(1, 3, 2)
    ranks = frames.head_ranks(np.array([0.1, 0.9, 0.5, 9.0, 9.0]), space)
    assert ranks.tolist() == [[3, 1, 2]]


def test_neurons_are_counted_per_layer_and_run(three):
    counts = frames.neuron_counts(three, LABELS, RUNS[0].space)
    of_a = counts[counts["run"] == "A"]
    assert list(of_a["neurons"]) == [0, 0, 1, 1]
    figure = layer_bars(counts)
    assert [trace.name for trace in figure.data] == ["A", "B", "C"]
    assert len({trace.marker.pattern.shape for trace in figure.data}) == 3
    assert list(figure.data[2].y) == [1, 0, 0, 1]


def test_two_judges_never_share_an_axis(runs):
    judged = {key: {"judge": "classifier"} for key in ("intact", "knocked_out")}
    mixed = {**runs, "third": with_results(runs["second"], asr=judged)}
    alike, otherwise = frames.judged_alike(mixed, "asr")
    assert list(alike) == ["first", "second"]
    assert otherwise == {"third": "classifier"}
    assert frames.judged_alike({}, "asr") == ({}, {})


def test_runs_are_summed_up_with_their_frontier_area(runs):
    rows = frames.summary_frame({**runs, "old": backdoor_run()}).set_index("run")
    assert rows.loc["first", "frontier area"] == 0.941
    assert np.isnan(rows.loc["old", "frontier area"])
    assert rows.loc["second", "chosen size"] == 4
    assert "0 of 256" in rows.loc["second", "attack success"]
