"""The path of the price: how it rises, and who leaves last."""

from __future__ import annotations

import numpy as np
import pytest

from circuitviz.discovery.l1_path import L1PathLearner, leaving_order
from circuitviz.discovery.penalised import MaskTraining
from circuitviz.models.ablation import ZERO


def test_the_price_settles_and_then_rises_by_a_constant_factor_to_the_last_step():
    learner = L1PathLearner((1.0, 100.0), settling=0.5, training=MaskTraining(steps=20))
    assert [learner.price(step) for step in (0, 10)] == [1.0, 1.0]
    assert learner.price(19) == pytest.approx(100.0)
    ratios = [learner.price(step + 1) / learner.price(step) for step in range(10, 19)]
    assert ratios == pytest.approx([100 ** (1 / 9)] * 9)


def test_a_path_of_one_step_has_a_price():
    learner = L1PathLearner((1.0, 100.0), training=MaskTraining(steps=1))
    assert learner.price(0) == 1.0


def test_who_leaves_later_ranks_higher_and_equals_go_by_their_logit():
    last = np.array([0, 7, 7, 3])
    logits = np.array([-1.0, -3.0, 1.0, 0.0])
    np.testing.assert_allclose(leaving_order(last, logits), [0.25, 7.125, 7.75, 3.5])


def test_the_deciding_unit_leaves_last(decided):
    training = MaskTraining(steps=40, start=1.0, decay=False, utility_weight=0.0)
    found = L1PathLearner(training=training).learn(
        decided.model, decided.behaviour, ablation=ZERO, seed=0
    )
    assert found.scores.argmax() == decided.flat
    # All the others are alike, so they leave at about the same time, and well before.
    others = np.delete(found.scores, decided.flat)
    assert found.scores.max() - others.max() > 5
