"""Integrated gradients: they add up, and find the unit that decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitviz.discovery.attribution import AttributionLearner
from circuitviz.discovery.learner import LearningTask
from circuitviz.models.ablation import ZERO


def objective(model, behaviour, ablated: float, weight: float) -> float:
    """F = -removal - weight * utility with every unit ablated this much."""
    task = LearningTask(model, behaviour, ZERO, seed=0)
    mask = torch.full((1, len(model.space)), ablated)
    with torch.no_grad():
        outcome = task.objective(weight).measure(torch.arange(len(task.data.rows)), mask)
    return -float(outcome.loss(weight))


@pytest.mark.parametrize(("weight", "end"), [(0.0, 1.0), (3.0, 1.0), (3.0, 0.5)])
def test_scores_add_up_to_the_change_of_the_objective(tiny_model, behaviour, weight, end):
    # As many rows as there are: every prompt is at every point, whatever the seed.
    rows = {"removal_rows": 3, "utility_rows": 3}
    learner = AttributionLearner(points=512, end=end, utility_weight=weight, **rows)
    learned = learner.learn(tiny_model, behaviour, ablation=ZERO, seed=0)
    change = objective(tiny_model, behaviour, end, weight) - objective(
        tiny_model, behaviour, 0.0, weight
    )
    assert abs(change) > 0.1
    assert learned.scores.sum() == pytest.approx(change, rel=0.01)


def test_the_deciding_unit_has_the_whole_score(decided):
    learner = AttributionLearner(utility_weight=0.0)
    learned = learner.learn(decided.model, decided.behaviour, ablation=ZERO, seed=0)
    assert learned.scores.argmax() == decided.flat
    assert np.flatnonzero(learned.scores).tolist() == [decided.flat]
