"""Groups of units: masks out to the units, scores out and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitviz.discovery.masks import UnitGroups
from circuitviz.units import UnitSpace

# 2 layers of 1 head and 2 neurons: heads are flat 0 and 1, neurons 2 to 5.
SPACE = UnitSpace(n_layers=2, n_heads=1, d_mlp=2)


@pytest.mark.parametrize(
    ("granularity", "count"), [("both", 6), ("heads", 2), ("neurons", 4), ("layers", 4)]
)
def test_groups_are_counted(granularity, count):
    assert len(UnitGroups(SPACE, granularity)) == count


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
    found = UnitGroups(SPACE, granularity).expand(torch.tensor(mask, dtype=torch.float))
    assert found.tolist() == expected


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


def test_a_group_has_the_mean_of_its_units():
    values = np.array([1.0, 2.0, 3.0, 5.0, 7.0, 9.0])
    assert UnitGroups(SPACE, "layers").mean(values).tolist() == [1, 2, 4, 8]
    assert UnitGroups(SPACE, "heads").mean(values).tolist() == [1, 2]
