from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from circuitviz.errors import ConfigError
from circuitviz.evaluation.statistics import (
    Difference,
    McNemar,
    chance_jaccard,
    jaccard,
    mcnemar,
    paired_difference,
    percentile,
)
from circuitviz.units import Circuit, UnitSpace

SPACE = UnitSpace(n_layers=1, n_heads=3, d_mlp=4)


def circuit(*units: str, space: UnitSpace = SPACE) -> Circuit:
    return Circuit.of(space, units)


def test_mcnemar_counts_the_prompts_that_changed():
    before = [True, True, True, True, True, True, False, False]
    after = [True, False, False, False, False, False, True, False]
    # 5 lost and 1 gained: 2 x (C(6, 0) + C(6, 1)) / 2^6 = 14/64.
    assert mcnemar(before, after) == McNemar(5, 1, pytest.approx(14 / 64))


def test_mcnemar_is_the_same_both_ways_round():
    before, after = [1, 1, 1, 0], [0, 0, 0, 0]
    forth, back = mcnemar(before, after), mcnemar(after, before)
    assert (forth.only_before, forth.only_after) == (back.only_after, back.only_before) == (3, 0)
    assert forth.p == back.p == pytest.approx(0.25)  # 2 / 2^3


def test_mcnemar_without_a_change_is_no_evidence():
    assert mcnemar([True, False], [True, False]) == McNemar(0, 0, 1.0)


def test_mcnemar_of_256_lost_of_256():
    assert mcnemar(np.ones(256, bool), np.zeros(256, bool)).p == pytest.approx(2.0**-255)


def test_a_paired_difference_is_the_mean_change():
    before = np.repeat([True, True, False, False], [40, 30, 20, 10])
    after = np.repeat([True, False, True, False], [40, 30, 20, 10])
    found = paired_difference(before, after, seed=0)
    assert (found.value, found.resamples) == (pytest.approx(-0.1), 2000)
    # The change is -1, 0, 1 on 30, 50, 20 of 100: variance 0.49, so 1.96 x 0.07 = 0.137.
    assert found.low == pytest.approx(-0.1 - 0.137, abs=0.015)
    assert found.high == pytest.approx(-0.1 + 0.137, abs=0.015)
    assert found == paired_difference(before, after, seed=0)


def test_pairs_stay_together():
    # Prompts differ a lot, and every one of them changes by about the same.
    before = np.arange(50.0)
    after = before + np.tile([0.9, 1.1], 25)
    found = paired_difference(before, after, seed=0)
    assert found.value == pytest.approx(1.0)
    assert 0.9 < found.low < found.value < found.high < 1.1


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [([1, 1, 1], [0, 0, 0], -1.0), ([1, 0, 1], [1, 0, 1], 0.0), ([0], [1], 1.0)],
)
def test_the_same_change_everywhere_is_an_interval_of_one_value(before, after, value):
    expected = Difference(value, value, value, 10)
    assert paired_difference(before, after, seed=0, resamples=10) == expected


@pytest.mark.parametrize(("before", "after"), [([], []), ([1], [1, 0]), ([[1]], [[0]])])
def test_pairs_that_are_none_are_refused(before, after):
    with pytest.raises(ConfigError, match="one value for each of the same prompts"):
        mcnemar(before, after)
    with pytest.raises(ConfigError, match="one value for each of the same prompts"):
        paired_difference(before, after, seed=0)


def test_jaccard_is_shared_over_all():
    assert jaccard(circuit("L0H0", "L0N1", "L0N2"), circuit("L0H0", "L0N2", "L0N3")) == 0.5
    assert jaccard(circuit("L0H0"), circuit("L0H0")) == 1.0
    assert jaccard(circuit("L0H0"), circuit("L0N0")) == jaccard(circuit("L0H0"), circuit()) == 0.0
    assert jaccard(circuit(), circuit()) == 1.0


def circuits_of(heads: int, neurons: int) -> list[Circuit]:
    choices = product(
        combinations(["L0H0", "L0H1", "L0H2"], heads),
        combinations(["L0N0", "L0N1", "L0N2", "L0N3"], neurons),
    )
    return [circuit(*one, *other) for one, other in choices]


@pytest.mark.parametrize(
    ("first", "second"),
    [((1, 0), (1, 0)), ((1, 2), (2, 1)), ((2, 3), (2, 3)), ((0, 2), (3, 0)), ((3, 4), (3, 4))],
)
def test_chance_is_the_mean_over_all_pairs_of_circuits(first, second):
    pairs = list(product(circuits_of(*first), circuits_of(*second)))
    expected = np.mean([jaccard(a, b) for a, b in pairs])
    assert chance_jaccard(*pairs[0]) == pytest.approx(expected)


def test_chance_of_one_head_among_three_is_a_third():
    assert chance_jaccard(circuit("L0H0"), circuit("L0H1")) == pytest.approx(1 / 3)
    assert chance_jaccard(circuit("L0H0"), circuit("L0N0")) == 0.0
    assert chance_jaccard(circuit(), circuit()) == 1.0


def test_circuits_of_different_models_are_refused():
    other = circuit("L0H0", space=UnitSpace(1, 3, 5))
    for overlap in (jaccard, chance_jaccard):
        with pytest.raises(ConfigError, match="circuits of different models"):
            overlap(circuit("L0H0"), other)


def test_percentile_is_the_share_at_least_as_low_or_as_high():
    draws = [0.0, 0.5, 0.5, 1.0]
    assert percentile(0.5, draws) == 0.75
    assert percentile(0.5, draws, higher=True) == 0.75
    assert percentile(-0.1, draws) == percentile(1.1, draws, higher=True) == 0.0
    with pytest.raises(ConfigError, match="at least one draw"):
        percentile(0.0, [])
