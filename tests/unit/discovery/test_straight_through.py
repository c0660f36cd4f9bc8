"""Masks of a given size: the arithmetic of their gradients."""

from __future__ import annotations

import pytest
import torch

from circuitviz.discovery.masks import soft_top_k, straight_through


def test_soft_sizes_add_up():
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    sizes = torch.tensor([1.0, 7.0, 30.0])
    for temperature in (1.0, 0.1):
        total = soft_top_k(scores, sizes, temperature).sum(1)
        torch.testing.assert_close(total, sizes, rtol=1e-3, atol=1e-3)


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


def test_the_total_has_no_gradient():
    scores = torch.randn(1, 20, generator=torch.Generator().manual_seed(1)).requires_grad_()
    total = soft_top_k(scores, torch.tensor([5.0]), 1.0).sum()
    (gradient,) = torch.autograd.grad(total, scores)
    torch.testing.assert_close(gradient, torch.zeros(1, 20), rtol=0, atol=1e-5)


def test_forward_masks_are_exactly_the_best_units_and_nested():
    scores = torch.tensor([[0.1, 0.9, 0.5, 0.7]]).expand(3, -1)
    mask = straight_through(scores, torch.tensor([1.0, 2.0, 3.0]), 0.3)
    assert mask.round().tolist() == [[0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 1, 1]]
