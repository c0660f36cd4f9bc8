from __future__ import annotations

from math import log, nan

import numpy as np
import pytest

from circuitviz.errors import ConfigError
from circuitviz.evaluation.results import RankScores
from circuitviz.evaluation.truth import (
    achieved,
    frontier_area,
    read_truth,
    score_against_truth,
)
from circuitviz.units import Circuit, Ranking, UnitSpace

SPACE = UnitSpace(n_layers=1, n_heads=3, d_mlp=4)
# L0H0, L0H1, L0H2, L0N0, L0N1, L0N2, L0N3
SCORES = np.array([6.0, 1.0, 4.0, 7.0, 2.0, 5.0, 3.0])


def scored(*truth: str, scores: np.ndarray = SCORES):
    return score_against_truth(Ranking(SPACE, scores), Circuit.of(SPACE, truth))


def numbers(scores: RankScores) -> list[float]:
    return [getattr(scores, name) for name in RankScores.model_fields]


def test_scores_over_all_units():
    # In order: N0 (true), H0, N2 (true), H2, N3, N1, H1.
    units = scored("L0N0", "L0N2")
    # Of 2 x 5 pairs of a true and another unit, only (N2, H0) is the wrong way round.
    assert units.auroc == pytest.approx(9 / 10)
    assert units.average_precision == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert (units.size, units.precision_at_truth) == (2, 0.5)


def test_scores_of_each_kind():
    found = scored("L0H2", "L0N0", "L0N1")
    # Heads in order: H0, H2 (true), H1.  Neurons: N0 (true), N2, N3, N1 (true).
    assert numbers(found.heads) == pytest.approx([1, 0.5, 0.5, 0.0])
    assert numbers(found.neurons) == pytest.approx([2, 0.5, (1 + 2 / 4) / 2, 0.5])


@pytest.mark.parametrize("truth", [["L0N0"], ["L0N0", "L0H0", "L0H1", "L0H2"]])
def test_a_kind_without_true_or_without_other_units_has_no_score(truth):
    found = scored(*truth)
    assert found.heads is None
    assert found.neurons is not None


def test_a_perfect_and_a_reversed_ranking():
    perfect = scored("L0N0", "L0H0")
    assert (perfect.auroc, perfect.average_precision, perfect.precision_at_truth) == (1, 1, 1)
    reversed_ = scored("L0N0", "L0H0", scores=-SCORES)
    assert (reversed_.auroc, reversed_.precision_at_truth) == (0, 0)


def test_equal_scores_are_guessing():
    units = scored("L0H0", "L0N3", scores=np.zeros(7))
    assert units.auroc == 0.5
    assert units.average_precision == pytest.approx(2 / 7)
    # The order of ties is the flat one, and so is the circuit cut from it: H0, H1.
    assert units.precision_at_truth == 0.5


def test_units_that_may_be_in_no_circuit_are_no_competition():
    truth = Circuit.of(SPACE, ["L0H1", "L0N1"])
    # Heads in order: H0, H2, H1 (true).  Neurons have the lowest scores, as learners give them.
    scores = np.array([6.0, 1.0, 4.0, 0.0, 0.0, 0.0, 0.0])
    found = score_against_truth(Ranking(SPACE, scores, "heads"), truth)
    assert found is not None
    assert numbers(found) == numbers(found.heads) == pytest.approx([1, 0.0, 1 / 3, 0.0])
    assert found.neurons is None
    only_neurons = Circuit.of(SPACE, ["L0N1"])
    assert score_against_truth(Ranking(SPACE, scores, "heads"), only_neurons) is None


def test_a_truth_that_is_none_is_refused():
    for truth in ([], [str(unit) for unit in SPACE]):
        with pytest.raises(ConfigError, match="some units but not all 7"):
            scored(*truth)
    with pytest.raises(ConfigError, match="of another model"):
        score_against_truth(Ranking(SPACE, SCORES), Circuit.of(UnitSpace(1, 3, 5), ["L0H0"]))


def test_achieved_is_what_the_knock_out_is_for():
    rates = {"asr": 0.9, "recovery": 0.6}
    assert achieved("backdoor", **rates, retention=0.5) == pytest.approx(0.3)
    assert achieved("refusal", **rates, retention=0.5) == pytest.approx(0.45)
    assert achieved("backdoor", **rates, retention=1.2) == pytest.approx(0.6)
    assert achieved("backdoor", **rates, retention=nan) == 0.0


def test_the_frontier_area_of_two_steps():
    # 0 up to 2, a quarter from 2 to 4, all from 4 to 16: (1 x 1/4 + 2 x 1) / 4 doublings.
    assert frontier_area([(4, 1.0), (2, 0.25)], 16) == pytest.approx(0.5625)
    # What a larger circuit spoils does not count: a smaller one may be chosen.
    assert frontier_area([(4, 1.0), (2, 0.25), (8, 0.1), (16, 0.0)], 16) == pytest.approx(0.5625)


def test_the_limits_of_the_frontier_area():
    assert frontier_area([(1, 1.0)], 2080) == pytest.approx(1.0)
    assert frontier_area([(1, 0.0), (2080, 0.0)], 2080) == frontier_area([], 2080) == 0.0
    assert frontier_area([(2080, 1.0)], 2080) == 0.0
    assert frontier_area([(4, 1.0)], 2080) == pytest.approx(1 - log(4) / log(2080))


def test_the_intact_model_is_no_point_of_the_frontier():
    assert frontier_area([(0, 1.0), (4, 0.5)], 16) == pytest.approx(0.25)


def test_two_circuits_of_one_size_count_as_the_better():
    assert frontier_area([(1, 0.25), (1, 0.75)], 16) == pytest.approx(0.75)


def test_raising_a_point_never_lowers_the_area():
    rng = np.random.default_rng(0)
    for _ in range(50):
        points = [(int(rng.integers(1, 65)), float(rng.random())) for _ in range(6)]
        before = frontier_area(points, 64)
        size, share = points[0]
        points[0] = (size, min(1.0, share + 0.3))
        assert 0 <= before <= frontier_area(points, 64) <= 1


@pytest.mark.parametrize(
    ("points", "n_units"), [([(-1, 0.5)], 8), ([(9, 0.5)], 8), ([(1, 1.1)], 8), ([(1, nan)], 8)]
)
def test_points_out_of_range_are_refused(points, n_units):
    with pytest.raises(ConfigError, match=r"a size in 0\.\.8 and a share in \[0, 1\]"):
        frontier_area(points, n_units)
    with pytest.raises(ConfigError, match="at least 2 units"):
        frontier_area([], 1)


def test_the_truth_beside_a_model_is_read(tmp_path):
    assert read_truth(tmp_path) is None
    (tmp_path / "truth.json").write_text('{"units": ["L1H3", "L2N40"]}')
    assert read_truth(tmp_path) == ("L1H3", "L2N40")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"units": []}', '{"units": "L1H3"}', '{"units": ["H3"]}', '{"units": [3]}'],
)
def test_a_malformed_truth_is_one_clear_line(tmp_path, text):
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(ConfigError, match="cannot read the truth in") as refusal:
        read_truth(tmp_path)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith('expected {"units": ["L1H3", ...]}')
