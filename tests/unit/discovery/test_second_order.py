from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitviz.discovery.nested import NestedLearner
from circuitviz.discovery.objective import TrainingRows
from circuitviz.discovery.second_order import SecondOrderLearner
from circuitviz.models.ablation import ZERO
from circuitviz.models.answer import answer_log_probs
from circuitviz.models.gates import Gates

pytestmark = pytest.mark.slow


def score(model, data, price):
    learner = SecondOrderLearner(price=price)
    return learner.score(model, data, ablation=ZERO, seed=0)


@pytest.fixture
def data(tiny_model, behaviour):
    return TrainingRows.of(tiny_model, behaviour)


def removal(model, data, unit, amount):
    rows = data.rows.take(torch.tensor(list(data.removal)))
    mask = torch.zeros(1, len(model.space))
    mask[0, unit] = amount
    with torch.no_grad():
        log_probs = answer_log_probs(model, rows, Gates.from_flat(1 - mask, model.space))
    targets = rows.targets[rows.predicts]
    return float(log_probs.gather(-1, targets[:, None]).mean())


@pytest.mark.parametrize("unit", [0, 3, 9, 40])
def test_without_a_price_a_score_is_the_slope_of_what_closing_the_gate_gains(
    tiny_model, data, unit
):
    step = 1e-3
    slope = (removal(tiny_model, data, unit, step) - removal(tiny_model, data, unit, 0)) / step
    assert score(tiny_model, data, 0.0)[unit] == pytest.approx(slope, abs=2e-2, rel=5e-2)


def test_a_price_only_lowers_scores_and_by_the_same_multiple_everywhere(tiny_model, data):
    free, once, twice = (score(tiny_model, data, price) for price in (0.0, 1.0, 2.0))
    assert (free - once >= -1e-9).all()
    np.testing.assert_allclose(free - twice, 2 * (free - once), atol=1e-6)


def test_every_unit_gets_a_score_and_blocks_get_the_sum_of_theirs(tiny_model, behaviour):
    learned = SecondOrderLearner().learn(tiny_model, behaviour, ablation=ZERO, seed=0)
    assert learned.scores.shape == (len(tiny_model.space),)
    assert np.isfinite(learned.scores).all()
    blocks = SecondOrderLearner().learn(
        tiny_model, behaviour, ablation=ZERO, seed=0, granularity="layers"
    )
    heads = tiny_model.space.n_heads
    assert blocks.scores[0] == pytest.approx(learned.scores[:heads].sum(), rel=1e-4)


def test_masks_among_candidates_rank_these_above_all_others(tiny_model, behaviour, monkeypatch):
    monkeypatch.setattr("circuitviz.discovery.nested.MANY_UNITS", 0)
    steps = []
    learner = NestedLearner(steps=3, candidates=12, candidate_heads=2, candidate_rows=2)
    learned = learner.learn(
        tiny_model, behaviour, ablation=ZERO, seed=0, watch=lambda step: steps.append(step)
    )
    first = score(tiny_model, TrainingRows.of(tiny_model, behaviour), 100.0)
    top = set(np.argsort(-learned.scores)[:12].tolist())
    heads = set(np.argsort(-first[: tiny_model.space.total_heads])[:2].tolist())
    assert heads <= top
    rest = np.argsort(-learned.scores)[12:]
    assert (np.diff(first[rest]) <= 1e-9).all()
    counted = [step.step for step in steps]
    # Two passes over all units count as one step of the masks, which are the last three.
    assert counted == sorted(counted)
    assert counted[-3:] == [steps[-1].steps - 2, steps[-1].steps - 1, steps[-1].steps]
    assert len({step.steps for step in steps}) == 1
