"""Masks: groups of units, and masks of a given size with the arithmetic of their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitviz.discovery.training.masks import UnitGroups, soft_top_k, straight_through
from circuitviz.units import UnitSpace

# 2 layers of 1 head and 2 neurons: heads are flat 0 and 1, neurons 2 to 5.
SPACE = UnitSpace(n_layers=2, n_heads=1, d_mlp=2)


@pytest.mark.parametrize(
    ("granularity", "mask", "expected"),
    [
        ("both", [[1, 0, 1, 0, 0, 1]], [[1, 0, 1, 0, 0, 1]]),
        ("heads", [[0, 1], [1, 0]], [[0, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]]),
        ("neurons", [[1, 0, 0, 1]], [[0, 0, 1, 0, 0, 1]]),
        ("layers", [[0, 1, 1, 0]], [[0, 1, 1, 1, 0, 0]]),
    ],
)
def test_a_mask_reaches_every_unit_of_a_group_and_no_unit_outside(granularity, mask, expected):
    units = UnitGroups(SPACE, granularity)
    assert len(units) == len(mask[0])
    assert units.expand(torch.tensor(mask, dtype=torch.float)).tolist() == expected


def test_a_gradient_adds_up_over_the_units_of_a_group():
    mask = torch.zeros(1, 4, requires_grad=True)
    weights = torch.tensor([[1.0, 2.0, 4.0, 8.0, 16.0, 32.0]])
    (weights * UnitGroups(SPACE, "layers").expand(mask)).sum().backward()
    assert mask.grad is not None
    assert mask.grad.tolist() == [[1, 2, 12, 48]]


def test_scores_are_spread_with_units_outside_below_all_others():
    spread = UnitGroups(SPACE, "neurons").spread(np.array([3.0, -2.0, 0.0, 1.0]))
    assert spread.tolist() == [-3, -3, 3, -2, 0, 1]
    assert UnitGroups(SPACE, "layers").spread(np.arange(4.0)).tolist() == [0, 1, 2, 2, 3, 3]
    among = np.array([False, True, False, True, False, False])
    assert UnitGroups(SPACE, "both", among).spread(np.array([5.0, 2.0])).tolist() == [
        *(1, 5, 1, 2, 1, 1)
    ]


def test_a_group_has_the_mean_of_its_units():
    values = np.array([1.0, 2.0, 3.0, 5.0, 7.0, 9.0])
    assert UnitGroups(SPACE, "layers").mean(values).tolist() == [1, 2, 4, 8]
    assert UnitGroups(SPACE, "heads").mean(values).tolist() == [1, 2]


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_soft_sizes_add_up_and_their_total_has_no_gradient(temperature):
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).requires_grad_()
    sizes = torch.tensor([1.0, 7.0, 30.0])
    total = soft_top_k(scores, sizes, temperature).sum(1)
    torch.testing.assert_close(total, sizes, rtol=1e-3, atol=1e-3)
    (gradient,) = torch.autograd.grad(total.sum(), scores)
    torch.testing.assert_close(gradient, torch.zeros(3, 50), rtol=0, atol=1e-5)


def test_equal_scores_share_the_size_equally():
    soft = soft_top_k(torch.zeros(1, 8), torch.tensor([2.0]), 0.5)
    torch.testing.assert_close(soft, torch.full((1, 8), 0.25))


def test_the_gradient_is_that_of_the_implicit_threshold():
    # Two units sharing size 1: p = sigmoid((s1 - s2) / 2T) for the first, so dp/ds1 = p(1-p)/2T.
    temperature = 0.5
    scores = torch.tensor([[0.3, -0.1]], requires_grad=True)
    soft = soft_top_k(scores, torch.tensor([1.0]), temperature)
    expected = torch.sigmoid(torch.tensor(0.4 / (2 * temperature)))
    assert soft[0, 0].item() == pytest.approx(float(expected), abs=1e-5)
    (gradient,) = torch.autograd.grad(soft[0, 0], scores)
    slope = float(expected * (1 - expected) / (2 * temperature))
    torch.testing.assert_close(gradient, torch.tensor([[slope, -slope]]), rtol=1e-3, atol=1e-5)


def test_forward_masks_are_exactly_the_best_units_and_nested():
    scores = torch.tensor([[0.1, 0.9, 0.5, 0.7]]).expand(3, -1)
    mask = straight_through(scores, torch.tensor([1.0, 2.0, 3.0]), 0.3)
    assert mask.round().tolist() == [[0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 1, 1]]
