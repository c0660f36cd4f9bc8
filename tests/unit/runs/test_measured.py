"""Measured numbers as a run keeps them, by hand."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from circuitviz.evaluation.effect import Effect, PromptVerdicts
from circuitviz.evaluation.measurement import Measurement
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import RandomRates, UnitEffect
from circuitviz.runs.discover import (
    area_under_frontier,
    frontier_frame,
    measured_results,
    paired_tests,
    truth_scores,
)
from circuitviz.units import Circuit, Ranking, Unit, UnitSpace

SPACE = UnitSpace(n_layers=1, n_heads=2, d_mlp=6)
RANKING = Ranking(SPACE, -np.arange(8, dtype=np.float32))


def effect(asr: int, utility: int, recovery: int) -> Effect:
    return Effect(Rate("j", asr, 10), Rate("e", utility, 10), Rate("e", recovery, 10), 0.25)


INTACT = effect(10, 10, 0)
MEASURED = Measurement(
    intact=INTACT,
    knocked_out=effect(0, 8, 10),
    isolated=effect(5, 0, 0),
    frontier=[(RANKING.best(0), INTACT), (RANKING.best(2), effect(0, 8, 10))],
    grid=[(RANKING.best_of_each(1, 1), effect(3, 9, 5))],
    random=RandomRates(asr=Rate("j", 20, 20), utility=Rate("e", 20, 20), draws=2, asr_k=[10, 10]),
    units={
        Unit("head", 0, 1): UnitEffect(
            asr=Rate("j", 4, 10), recovery=Rate("e", 1, 10), target_logprob_change=-0.5
        )
    },
)


def test_the_headline_numbers_and_the_frontier():
    results = measured_results(RANKING.best(2), MEASURED)
    assert (results.n_units, results.n_heads, results.n_neurons) == (8, 2, 6)
    assert results.circuit.units == ["L0H0", "L0H1"]
    assert (results.circuit.size, results.circuit.sparsity) == (2, 0.25)
    assert results.circuit.sparsity_heads == 1.0
    assert results.utility_retention == 0.8
    assert [point.size for point in results.frontier] == [0, 2]
    assert results.frontier[1].recovery.k == 10
    assert results.unit_effects["L0H1"].target_logprob_change == -0.5
    # What only open answers have is not there, and not null.
    values = results.to_json()
    assert not {"perplexity", "alternatives", "recovery_ceiling"} & values.keys()
    assert "perplexity" not in values["frontier"][1]


def test_the_frontier_frame_has_a_row_for_everything_measured():
    frame = frontier_frame(RANKING.best(2), MEASURED)
    assert frame["budget"].tolist() == ["joint", "joint", "separate", "joint"]
    assert frame["condition"].tolist() == ["knocked_out"] * 3 + ["isolated"]
    assert frame["heads"].tolist() == [0, 2, 1, 2]
    assert frame["asr_k"].tolist() == [10, 0, 3, 5]


def test_the_area_under_the_frontier():
    # 0 up to size 2, then recovery 1 times retention 0.8, of log 8.
    expected = 0.8 * (log(8) - log(2)) / log(8)
    assert area_under_frontier("backdoor", MEASURED) == pytest.approx(expected)
    # Refusal counts the ASR, which is 0 here.
    assert area_under_frontier("refusal", MEASURED) == 0.0


def test_statistics_are_paired_by_prompt():
    ones, zeros = np.ones(4, dtype=bool), np.zeros(4, dtype=bool)
    before = Effect.of(PromptVerdicts(ones, zeros, ones), judge="j")
    after = Effect.of(PromptVerdicts(np.array([True, False, False, False]), ones, ones), judge="j")
    tests = paired_tests(before, after, seed=0)
    assert tests is not None
    # Three of three changed one way: p = 2 / 2^3.
    assert (tests.mcnemar.only_before, tests.mcnemar.only_after) == (3, 0)
    assert tests.mcnemar.p == pytest.approx(0.25)
    assert tests.asr_difference.value == -0.75
    assert tests.asr_difference.low <= -0.75 <= tests.asr_difference.high
    assert tests.utility_difference.value == 0.0
    assert paired_tests(INTACT, after, seed=0) is None


def test_truth_is_scored_where_it_lies_beside_the_model(tmp_path):
    assert truth_scores(tmp_path, RANKING, 0.5) is None
    (tmp_path / "truth.json").write_text('{"units": ["L0H0", "L0N0"]}')
    scores = truth_scores(tmp_path, RANKING, 0.5)
    assert scores is not None
    assert (scores.units, scores.size, scores.frontier_area) == (["L0H0", "L0N0"], 2, 0.5)
    # Ranked first and third of eight: precision at two is one half.
    assert scores.precision_at_truth == 0.5
    assert scores.auroc == pytest.approx(11 / 12)
    assert Circuit.of(SPACE, scores.units).units <= RANKING.best(3).units
