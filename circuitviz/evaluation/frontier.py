"""Which circuit sizes to measure, and random circuits to compare with."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from circuitviz.units import Circuit, Ranking, Unit

__all__ = ["frontier_sizes", "grid_circuits", "grid_sizes", "random_matched"]

# Most heads and neurons in a grid of both.
GRID_HEADS, GRID_NEURONS = 32, 256


def frontier_sizes(units: int) -> list[int]:
    """Sizes from 1 to all units, dense where circuits are small, ascending."""
    small = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
    large = [4**power for power in range(5, 20)]
    return [size for size in small + large if size < units] + [units]


def grid_sizes(units: int, most: int) -> list[int]:
    """0 and powers of two up to `most` of `units`, ascending."""
    powers = [2**power for power in range(40) if 2**power <= min(units, most)]
    return [0, *powers]


def grid_circuits(ranking: Ranking) -> list[Circuit]:
    """The best heads and the best neurons in every pair of sizes of a grid, from none upwards."""
    space = ranking.space
    return [
        ranking.best_of_each(heads, neurons)
        for heads in grid_sizes(space.total_heads, GRID_HEADS)
        for neurons in grid_sizes(space.total_neurons, GRID_NEURONS)
    ]


def random_matched(circuit: Circuit, generator: np.random.Generator) -> Circuit:
    """As many random *other* units of each kind in each layer as the circuit has there.

    Units of the circuit itself are drawn only where a layer has too few others.
    """
    chosen: list[Unit] = []
    groups: dict[tuple[str, int], list[Unit]] = defaultdict(list)
    for unit in circuit.space:
        groups[unit.kind, unit.layer].append(unit)
    for units in groups.values():
        count = sum(unit in circuit for unit in units)
        order = [units[int(index)] for index in generator.permutation(len(units))]
        # Stable: others first, in random order.
        chosen += sorted(order, key=lambda unit: unit in circuit)[:count]
    return Circuit(circuit.space, frozenset(chosen))
