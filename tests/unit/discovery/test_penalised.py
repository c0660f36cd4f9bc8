"""Masks under an L1 weight: random masks, one rank out of several, and the path of the weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitviz.discovery.l1 import (
    L1Learner,
    L1PathLearner,
    between_0_and_1,
    draw_masks,
    leaving_order,
    rank_masks,
)
from circuitviz.models.ablation import ZERO

# All units in the mask at first, and nothing but the L1 weight to take them out.
FULL = {"steps": 25, "start": 2.0, "utility_weight": 0.0}


def test_a_unit_is_drawn_as_often_as_its_logit_says():
    logits = torch.tensor([-2.0, 0.0, 1.0])
    masks = draw_masks(logits, 20_000, 0.5, torch.Generator().manual_seed(0))
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    # Three standard errors of a share of 20,000 are at most 0.011.
    torch.testing.assert_close(masks.mean(0), logits.sigmoid(), rtol=0, atol=0.011)


def test_the_gradient_is_that_of_the_relaxation():
    logits = torch.tensor([0.3], requires_grad=True)
    mask = draw_masks(logits, 1, 0.5, torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad(mask.sum(), logits)
    noise = torch.rand((1, 1), generator=torch.Generator().manual_seed(3)).logit()
    soft = torch.sigmoid((0.3 + noise) / 0.5)
    torch.testing.assert_close(gradient, (soft * (1 - soft) / 0.5)[0])


def test_squeezing_keeps_the_order_up_to_large_logits():
    squeezed = between_0_and_1(np.array([-1e4, -1.0, 0.0, 1.0, 3.0, 50.0, 51.0]))
    np.testing.assert_allclose(squeezed[1:5], [0.25, 0.5, 0.75, 0.875])
    assert (np.diff(squeezed, prepend=0, append=1) > 0).all()


def test_masks_are_ranked_by_the_highest_weight_that_still_takes_a_unit():
    dear = np.array([3.0, -1.0, -1.0, -3.0])
    cheap = np.array([-1.0, 1.0, 3.0, -1.0])
    np.testing.assert_allclose(rank_masks([dear, cheap]), [2.875, 1.75, 1.875, 0.25])
    np.testing.assert_allclose(rank_masks([dear]), [1.875, 0.25, 0.25, 0.125])


@pytest.mark.parametrize(
    ("weight", "settings", "expected"),
    [
        (0.0, FULL, "all"),
        (2.0, {**FULL, "steps": 60, "start": 1.0}, "decisive"),
        (1e6, FULL, "none"),
    ],
)
def test_the_weight_says_how_much_stays_in_the_mask(decided, weight, settings, expected):
    learner = L1Learner(l1_weight=weight, **settings)
    learned = learner.learn(decided.model, decided.behaviour, ablation=ZERO, seed=0)
    kept = {"all": range(len(decided.model.space)), "decisive": [decided.flat], "none": []}
    assert np.flatnonzero(learned.scores >= 1).tolist() == list(kept[expected])


def test_several_weights_rank_the_deciding_unit_first(decided):
    learner = L1Learner(steps=20, utility_weight=0.0)
    learned = learner.learn(decided.model, decided.behaviour, ablation=ZERO, seed=0)
    assert learned.scores.argmax() == decided.flat
    assert learned.curve["step"] == list(range(1, 61))


def test_the_weight_settles_and_then_rises_by_a_constant_factor_to_the_last_step():
    learner = L1PathLearner(steps=20, l1_weights=(1.0, 100.0), settling=0.5)
    assert [learner.l1_weight_at(step) for step in (0, 10)] == [1.0, 1.0]
    assert learner.l1_weight_at(19) == pytest.approx(100.0)
    ratios = [learner.l1_weight_at(step + 1) / learner.l1_weight_at(step) for step in range(10, 19)]
    assert ratios == pytest.approx([100 ** (1 / 9)] * 9)
    assert L1PathLearner(steps=1, l1_weights=(1.0, 100.0)).l1_weight_at(0) == 1.0


def test_who_leaves_later_ranks_higher_and_equals_go_by_their_logit():
    last, logits = np.array([0, 7, 7, 3]), np.array([-1.0, -3.0, 1.0, 0.0])
    np.testing.assert_allclose(leaving_order(last, logits), [0.25, 7.125, 7.75, 3.5])


def test_the_deciding_unit_leaves_last(decided):
    learner = L1PathLearner(steps=40, start=1.0, utility_weight=0.0)
    learned = learner.learn(decided.model, decided.behaviour, ablation=ZERO, seed=0)
    assert learned.scores.argmax() == decided.flat
    # All the others are alike, so they leave at about the same time, and well before.
    others = np.delete(learned.scores, decided.flat)
    assert learned.scores.max() - others.max() > 5
