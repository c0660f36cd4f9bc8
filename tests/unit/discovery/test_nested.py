"""Nested masks: learning finds what it should and stops when told."""

from __future__ import annotations

import numpy as np
import pytest

from circuitviz.discovery.learner import LearningStep
from circuitviz.discovery.nested import NestedLearner
from circuitviz.errors import JobCancelledError
from circuitviz.models.ablation import ZERO, measure_ablation
from circuitviz.units import Ranking
from tests.tiny import SENTENCES

SETTINGS = {"steps": 30, "removal_rows": 8, "utility_rows": 4, "utility_weight": 0.0}


def learned(tiny_model, behaviour, seed=0, watch=lambda step: None, **more):
    learner = NestedLearner(**{**SETTINGS, **more})
    return learner.learn(tiny_model, behaviour, ablation=ZERO, seed=seed, watch=watch)


def test_the_unit_whose_loss_is_asked_for_ranks_high(tiny_model, behaviour, culprit):
    found = learned(tiny_model, behaviour, steps=60)
    order = Ranking(tiny_model.space, found.scores).order.tolist()
    assert order.index(tiny_model.space.flat(culprit)) < 5


def test_the_same_seed_gives_the_same_scores_and_another_seed_others(tiny_model, behaviour):
    first = learned(tiny_model, behaviour)
    np.testing.assert_array_equal(first.scores, learned(tiny_model, behaviour).scores)
    assert not np.array_equal(first.scores, learned(tiny_model, behaviour, seed=1).scores)


@pytest.mark.parametrize("budget", ["joint", "separate"])
def test_every_step_is_reported(tiny_model, behaviour, budget):
    steps: list[LearningStep] = []
    found = learned(tiny_model, behaviour, watch=steps.append, budget=budget)
    assert [step.step for step in steps] == list(range(1, 31))
    assert found.curve["step"] == list(range(1, 31))
    assert found.curve["removal"][-1] == steps[-1].losses["removal"]
    np.testing.assert_array_equal(found.scores, steps[-1].scores)


def test_learning_stops_between_steps(tiny_model, behaviour):
    seen: list[int] = []

    def watch(step: LearningStep) -> None:
        seen.append(step.step)
        if step.step == 3:
            raise JobCancelledError("stopped")

    with pytest.raises(JobCancelledError):
        learned(tiny_model, behaviour, watch=watch)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("name", ["mean", "resample"])
def test_other_ablations_learn_as_well(tiny_model, behaviour, name):
    ablation = measure_ablation(tiny_model, name, list(SENTENCES))
    learner = NestedLearner(**{**SETTINGS, "steps": 3})
    found = learner.learn(tiny_model, behaviour, ablation=ablation, seed=0)
    assert np.isfinite(found.scores).all()
    assert found.scores.std() > 0
