"""Which circuit sizes to measure, and random circuits to compare with."""

from __future__ import annotations

import numpy as np

from circuitviz.units import Circuit

__all__ = ["frontier_sizes", "grid_sizes", "random_matched"]


def frontier_sizes(units: int) -> list[int]:
    """Sizes from 1 to all units, dense where circuits are small, ascending."""
    small = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
    large = [4**power for power in range(5, 20)]
    return [size for size in small + large if size < units] + [units]


def grid_sizes(units: int, most: int) -> list[int]:
    """0 and powers of two up to `most` of `units`, ascending."""
    powers = [2**power for power in range(40) if 2**power <= min(units, most)]
    return [0, *powers]


def random_matched(circuit: Circuit, generator: np.random.Generator) -> Circuit:
    """As many random units of each kind in each layer as the circuit has there."""
    space = circuit.space
    chosen: list[int] = []
    for kind, width in (("head", space.n_heads), ("neuron", space.d_mlp)):
        for layer in range(space.n_layers):
            count = sum(1 for unit in circuit if (unit.kind, unit.layer) == (kind, layer))
            offset = 0 if kind == "head" else space.total_heads
            picks = generator.choice(width, size=count, replace=False)
            chosen += [offset + layer * width + int(pick) for pick in picks]
    return Circuit(space, frozenset(space.unit(index) for index in chosen))
