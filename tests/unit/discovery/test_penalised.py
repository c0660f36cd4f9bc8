"""Masks under a price: random masks, and one rank out of several."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitviz.discovery.l1 import L1Learner, rank_masks
from circuitviz.discovery.penalised import MaskTraining, between_0_and_1, draw_masks
from circuitviz.models.ablation import ZERO

# All units in the mask at first, and nothing but the price to take them out.
FULL = MaskTraining(steps=25, start=2.0, utility_weight=0.0)


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
    logits = np.array([-1e4, -1.0, 0.0, 1.0, 3.0, 50.0, 51.0])
    squeezed = between_0_and_1(logits)
    np.testing.assert_allclose(squeezed[1:5], [0.25, 0.5, 0.75, 0.875])
    assert (np.diff(squeezed) > 0).all()
    assert squeezed.min() > 0
    assert squeezed.max() < 1


def test_masks_are_ranked_by_the_highest_price_that_still_takes_a_unit():
    dear = np.array([3.0, -1.0, -1.0, -3.0])
    cheap = np.array([-1.0, 1.0, 3.0, -1.0])
    np.testing.assert_allclose(rank_masks([dear, cheap]), [2.875, 1.75, 1.875, 0.25])
    np.testing.assert_allclose(rank_masks([dear]), [1.875, 0.25, 0.25, 0.125])


def in_mask(decided, price: float, training: MaskTraining = FULL) -> list[int]:
    learner = L1Learner(price, training)
    found = learner.learn(decided.model, decided.behaviour, ablation=ZERO, seed=0)
    return np.flatnonzero(found.scores >= 1).tolist()


def test_without_a_price_every_unit_stays_in_the_mask(decided):
    assert in_mask(decided, 0.0) == list(range(len(decided.model.space)))


def test_a_huge_price_empties_the_mask(decided):
    assert in_mask(decided, 1e6) == []


def test_at_a_fair_price_only_the_deciding_unit_stays(decided):
    assert in_mask(decided, 2.0, MaskTraining(steps=60, start=1.0, utility_weight=0.0)) == [
        decided.flat
    ]


def test_a_ladder_ranks_the_deciding_unit_first(decided):
    learner = L1Learner(training=MaskTraining(steps=20, utility_weight=0.0))
    found = learner.learn(decided.model, decided.behaviour, ablation=ZERO, seed=0)
    assert found.scores.argmax() == decided.flat
    assert found.curve["step"] == list(range(1, 61))


@pytest.mark.parametrize("decay", [True, False])
def test_a_mask_depends_on_nothing_but_its_seed(decided, decay):
    training = MaskTraining(steps=3, decay=decay)
    one, same, other = (
        L1Learner(1.0, training).learn(decided.model, decided.behaviour, ablation=ZERO, seed=seed)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.scores, same.scores)
    assert not np.array_equal(one.scores, other.scores)
