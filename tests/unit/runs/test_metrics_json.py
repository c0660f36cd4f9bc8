"""Measured numbers as a run keeps them, by hand."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from circuitviz.evaluation.evaluator import Effect, PromptVerdicts
from circuitviz.evaluation.measurement import Measurement
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import RandomRates, UnitEffect
from circuitviz.runs.metrics_json import (
    area_under_frontier,
    frontier_frame,
    measured_json,
    statistics_json,
    truth_json,
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
    data = measured_json(RANKING.best(2), MEASURED)
    assert (data["n_units"], data["n_heads"], data["n_neurons"]) == (8, 2, 6)
    assert data["circuit"]["units"] == ["L0H0", "L0H1"]
    assert (data["circuit"]["size"], data["circuit"]["sparsity"]) == (2, 0.25)
    assert data["circuit"]["sparsity_heads"] == 1.0
    assert data["utility_retention"] == 0.8
    assert [row["size"] for row in data["frontier"]] == [0, 2]
    assert data["frontier"][1]["recovery"].k == 10
    assert data["unit_effects"]["L0H1"]["target_logprob_change"] == -0.5


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
    found = statistics_json(before, after, seed=0)["statistics"]
    # Three of three changed one way: p = 2 / 2^3.
    assert found["mcnemar"] == {"only_before": 3, "only_after": 0, "p": pytest.approx(0.25)}
    assert found["asr_difference"]["value"] == -0.75
    assert found["asr_difference"]["low"] <= -0.75 <= found["asr_difference"]["high"]
    assert found["utility_difference"]["value"] == 0.0
    assert statistics_json(INTACT, after, seed=0) == {}


def test_truth_is_scored_where_it_lies_beside_the_model(tmp_path):
    assert truth_json(tmp_path, RANKING, 0.5) == {}
    (tmp_path / "truth.json").write_text('{"units": ["L0H0", "L0N0"]}')
    found = truth_json(tmp_path, RANKING, 0.5)["truth"]
    assert (found["units"], found["size"], found["frontier_area"]) == (["L0H0", "L0N0"], 2, 0.5)
    # Ranked first and third of eight: precision at two is one half.
    assert found["precision_at_truth"] == 0.5
    assert found["auroc"] == pytest.approx(11 / 12)
    assert Circuit.of(SPACE, found["units"]).units <= RANKING.best(3).units
