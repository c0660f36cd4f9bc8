from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from circuitviz.errors import ConfigError
from circuitviz.evaluation.statistics import McNemar
from circuitviz.runs.comparison import compare_runs
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import Run
from circuitviz.units import UnitSpace
from tests.support.synthetic import backdoor_run, refusal_run, with_results


def run(*units: str, failed: int = 0, metrics: dict[str, Any] | None = None, **config: Any) -> Run:
    """A run with this circuit; its first `failed` attacks still succeed without it."""
    plain = backdoor_run()
    chosen = replace(plain.config, **config)
    generations = plain.generations.copy()
    triggered = generations.index[generations["variant"] == "triggered"]
    generations.loc[triggered[:failed], "verdict_knocked_out"] = "success"
    return replace(
        with_results(plain, circuit={"size": len(units), "units": list(units)}, **(metrics or {})),
        run_id=chosen.run_id(),
        config=chosen,
        generations=generations,
    )


def test_two_runs_side_by_side():
    a, b = run("L1H3", "L2N117"), run("L1H3", "L2N5", "L3N402", seed=1)
    found = compare_runs([a, b])
    (pair,) = found.pairs
    assert (pair.a, pair.b) == (a.run_id, b.run_id)
    assert (pair.shared, pair.only_a, pair.only_b) == (1, 1, 2)
    assert pair.jaccard == found.mean_jaccard == 1 / 4
    # One head each among 32 and 1 and 2 neurons among 2048: the heads meet with probability
    # 1/32, the neurons with 2/2048; 1/4 for one shared unit of 4, 2/3 for two of 3.
    heads, neurons = 1 / 32, 2 / 2048
    chance = (heads * (1 - neurons) + neurons * (1 - heads)) / 4 + heads * neurons * 2 / 3
    assert pair.chance_jaccard == found.chance_jaccard == pytest.approx(chance)
    assert pair.rank_correlation == pytest.approx(1.0)
    assert found.settings == {"seed": [0, 1]}
    assert found.note is None
    assert found.sentence == (
        "Seeds 0 and 1 share 1 of 4 units; their Jaccard index is 0.250, "
        "and chance would be 0.0081."
    )


def test_the_numbers_of_each_run():
    found = compare_runs(
        [run("L1H3", "L2N117", metrics={"frontier_area": 0.8}), run("L1H3", seed=1)]
    )
    first = found.runs[0].to_json()
    expected = {
        "model": "fixed-output-planted",
        "method": "nested",
        "seed": 0,
        "granularity": "both",
        "size": 2,
        "heads": 1,
        "neurons": 1,
        "sparsity": 2 / 2080,
        "utility_retention": 1.0,
        "frontier_area": 0.8,
        "truth": None,
        "seconds": 24.3,
        "target_reached": True,
    }
    assert {key: first[key] for key in expected} == expected
    assert (first["asr_intact"]["k"], first["asr"]["k"], first["asr"]["n"]) == (256, 0, 256)
    assert first["recovery"]["judge"] == "exact match"
    assert found.runs[1].frontier_area is None


def test_units_are_listed_with_who_found_them_most_shared_first():
    circuits = [("L1H3", "L2N1"), ("L1H3", "L0H0"), ("L1H3", "L0H0"), ("L1H3", "L0H0")]
    found = compare_runs([run(*units, seed=i) for i, units in enumerate([*circuits, ("L0H0",)])])
    assert [(unit.unit, unit.found_by) for unit in found.units] == [
        ("L0H0", 4),
        ("L1H3", 4),
        ("L2N1", 1),
    ]
    assert found.units[2].to_json() == {
        "unit": "L2N1",
        "kind": "neuron",
        "layer": 2,
        "index": 1,
        "found_by": 1,
        "runs": [True, False, False, False, False],
    }
    assert found.stable == ["L0H0", "L1H3"]
    # 3 pairs of equal circuits; 1/3 between the first and each of those; 0 between the first and
    # the last; 1/2 between the last and each of the three.
    assert found.mean_jaccard == pytest.approx((3 + 3 * (1 / 3) + 0 + 3 * (1 / 2)) / 10)
    assert found.sentence.startswith("Seeds 0, 1, 2, 3 and 4 share 0 of 3 units; their mean")


@pytest.mark.parametrize(("n", "found_by", "stable"), [(2, 2, True), (4, 3, False), (6, 5, True)])
def test_stable_is_at_least_four_of_five(n, found_by, stable):
    runs = [run(*(["L1H3"] if i < found_by else ["L0H0"]), seed=i) for i in range(n)]
    assert ("L1H3" in compare_runs(runs).stable) is stable


def test_runs_on_the_same_prompts_are_tested_in_pairs():
    (pair,) = compare_runs([run("L1H3", failed=8), run("L1H3", failed=2, seed=1)]).pairs
    # The second one's 2 failures are among the first one's 8: 6 turned, all one way.
    assert pair.mcnemar == McNemar(6, 0, pytest.approx(2 / 2**6))
    difference = pair.asr_difference
    assert difference.value == pytest.approx(-6 / 256)
    assert difference.low < -6 / 256 < difference.high <= 0
    assert difference.resamples == 2000


def test_prompts_in_another_order_are_still_paired():
    a, b = run("L1H3", failed=3), run("L1H3", failed=3, seed=1)
    b = replace(b, generations=b.generations.iloc[::-1])
    assert compare_runs([a, b]).pairs[0].mcnemar == McNemar(0, 0, 1.0)


def test_runs_on_other_prompts_are_not_tested():
    a, b = run("L1H3"), run("L1H3", seed=1)
    for generations in (b.generations.iloc[3:], b.generations.assign(prompt="other")):
        (pair,) = compare_runs([a, replace(b, generations=generations)]).pairs
        assert pair.mcnemar is None
        assert pair.asr_difference is None


def test_rankings_are_correlated_by_rank():
    a, b = run("L1H3"), run("L1H3", seed=1)
    (pair,) = compare_runs([a, replace(b, scores=-np.exp(a.scores.astype(float)))]).pairs
    assert pair.rank_correlation == pytest.approx(-1.0)
    (pair,) = compare_runs([a, replace(b, scores=np.zeros_like(a.scores))]).pairs
    assert pair.rank_correlation is None


def test_units_that_may_be_in_no_circuit_do_not_make_rankings_alike():
    a = run("L1H3", granularity="heads")
    heads = a.space.total_heads
    scores = np.full(len(a.space), -1.0)
    scores[:heads] = np.arange(heads)
    back = scores.copy()
    back[:heads] = scores[:heads][::-1]
    pair_of = [
        replace(a, scores=scores),
        replace(run("L1H3", seed=1, granularity="heads"), scores=back),
    ]
    (pair,) = compare_runs(pair_of).pairs
    assert pair.rank_correlation == pytest.approx(-1.0)


def test_settings_that_differ_are_listed_but_not_what_is_measured_besides():
    runs = [run("L1H3"), run("L1H3", ablation="mean", steps=7, controls=True)]
    found = compare_runs(runs)
    assert found.settings == {"ablation": ["zero", "mean"], "steps": [100, 7]}
    assert found.sentence.startswith("The 2 runs share 1 of 1 units")


def test_methods_are_named_where_only_they_differ():
    runs = [run("L1H3"), run("L1H3", method="random")]
    assert compare_runs(runs).sentence.startswith("Methods nested and random share")


def test_other_models_of_one_shape_are_compared_with_a_note():
    found = compare_runs([backdoor_run(), refusal_run()])
    assert found.note == (
        "The runs are of different models (fixed-output-planted, refusal): a shared unit is in "
        "the same place in each, but its weights are not the same."
    )
    assert found.pairs[0].mcnemar is None


def test_whole_layers_meet_by_chance_more_often_than_said():
    found = compare_runs([run("L1H3", granularity="layers"), run("L1H3")])
    assert found.note is not None
    assert found.note.startswith("Chance is that of single units")


def test_circuits_of_nothing_agree():
    found = compare_runs([run(), run(seed=1)])
    assert (found.mean_jaccard, found.chance_jaccard, found.units) == (1.0, 1.0, [])


@pytest.mark.parametrize("n", [0, 1, 7])
def test_two_to_six_runs_are_compared(n):
    with pytest.raises(ConfigError, match=f"2 to 6 runs; got {n}"):
        compare_runs([run("L1H3", seed=i) for i in range(n)])


def test_a_run_is_not_compared_with_itself():
    one = run("L1H3")
    with pytest.raises(ConfigError, match=f"with itself; got {one.run_id} twice"):
        compare_runs([one, run("L1H3", seed=1), one])


def test_models_of_other_shapes_are_refused():
    small = UnitSpace(2, 4, 24)
    other = replace(
        run("L1H3"),
        run_id="other",
        config=DiscoveryConfig("tiny"),
        space=small,
        scores=np.zeros(len(small)),
    )
    with pytest.raises(ConfigError, match="tiny has 2 layers of 4 heads and 24 neurons"):
        compare_runs([run("L1H3"), other])


def test_the_json_is_json():
    data = compare_runs([run("L1H3", failed=8), run("L1H3", seed=1)]).to_json()
    assert json.loads(json.dumps(data)) == data
    assert set(data) == {
        "runs",
        "settings",
        "pairs",
        "units",
        "mean_jaccard",
        "chance_jaccard",
        "stable",
        "note",
    }
