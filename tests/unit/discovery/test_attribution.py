"""Integrated gradients: they add up, and find the unit that decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitviz.discovery.attribution import AttributionLearner
from circuitviz.discovery.objective import TrainingRows, measure_objective
from circuitviz.models.ablation import ZERO


def objective(model, behaviour, ablated: float, weight: float) -> float:
    """F = -removal - weight * utility with every unit ablated this much."""
    data = TrainingRows.of(model, behaviour)
    mask = torch.full((1, len(model.space)), ablated)
    with torch.no_grad():
        outcome = measure_objective(model, data, torch.arange(len(data.rows)), mask, ZERO)
    return -float(outcome.loss(weight))


@pytest.mark.parametrize(("weight", "end"), [(0.0, 1.0), (3.0, 1.0), (3.0, 0.5)])
def test_scores_add_up_to_the_change_of_the_objective(tiny_model, behaviour, weight, end):
    # As many rows as there are: every prompt is at every point, whatever the seed.
    rows = {"removal_rows": 3, "utility_rows": 3}
    learner = AttributionLearner(points=512, end=end, utility_weight=weight, **rows)
    found = learner.learn(tiny_model, behaviour, ablation=ZERO, seed=0)
    change = objective(tiny_model, behaviour, end, weight) - objective(
        tiny_model, behaviour, 0.0, weight
    )
    assert abs(change) > 0.1
    assert found.scores.sum() == pytest.approx(change, rel=0.01)


def test_the_deciding_unit_has_the_whole_score(decided):
    learner = AttributionLearner(utility_weight=0.0)
    found = learner.learn(decided.model, decided.behaviour, ablation=ZERO, seed=0)
    assert found.scores.argmax() == decided.flat
    assert np.flatnonzero(found.scores).tolist() == [decided.flat]
