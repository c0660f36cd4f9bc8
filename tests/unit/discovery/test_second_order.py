"""Scores to second order: slopes at the intact model, less what the price makes of their square."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitviz.discovery.learner import LearningTask
from circuitviz.discovery.second_order import SecondOrderLearner
from circuitviz.models.ablation import ZERO
from circuitviz.models.answer import answer_log_probs
from circuitviz.models.gates import Gates

pytestmark = pytest.mark.slow


@pytest.fixture
def task(tiny_model, behaviour) -> LearningTask:
    return LearningTask(tiny_model, behaviour, ZERO, seed=0)


def score(task, price):
    *_, last = SecondOrderLearner(price=price).search(task)
    return last.scores


def removal(task, unit, amount):
    model, rows = task.model, task.data.rows.take(torch.tensor(list(task.data.removal)))
    mask = torch.zeros(1, len(model.space))
    mask[0, unit] = amount
    with torch.no_grad():
        log_probs = answer_log_probs(model, rows, Gates.from_flat(1 - mask, model.space))
    targets = rows.targets[rows.predicts]
    return float(log_probs.gather(-1, targets[:, None]).mean())


@pytest.mark.parametrize("unit", [0, 3, 9, 40])
def test_without_a_price_a_score_is_the_slope_of_what_closing_the_gate_gains(task, unit):
    step = 1e-3
    slope = (removal(task, unit, step) - removal(task, unit, 0)) / step
    assert score(task, 0.0)[unit] == pytest.approx(slope, abs=2e-2, rel=5e-2)


def test_a_price_only_lowers_scores_and_by_the_same_multiple_everywhere(task):
    free, once, twice = (score(task, price) for price in (0.0, 1.0, 2.0))
    assert (free - once >= -1e-6).all()
    np.testing.assert_allclose(free - twice, 2 * (free - once), atol=1e-5)


def test_blocks_get_the_sum_of_the_scores_of_their_units(task):
    units = score(task, 100.0)
    blocks = score(LearningTask(task.model, task.behaviour, ZERO, 0, "layers"), 100.0)
    assert blocks[0] == pytest.approx(units[: task.model.space.n_heads].sum(), rel=1e-4)
