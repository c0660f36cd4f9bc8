"""Which circuit sizes to measure, and random circuits to compare with."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from circuitviz.units import Circuit, Ranking, Unit

# Sizes that are tried and measured of models that give open answers.
OPEN_SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)

# Most heads and neurons in a grid of both.
GRID_HEADS, GRID_NEURONS = 32, 256


def frontier_sizes(ranking: Ranking) -> list[int]:
    """Sizes from the smallest circuit to everything, dense where circuits are small, ascending.

    Only sizes at which the ranking may be cut.
    """
    small = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
    large = [4**power for power in range(5, 20)]
    last = len(ranking.cuts) - 1
    # Blocks are few and each is large: none is skipped where that is cheap.
    steps = range(1, last) if ranking.granularity == "layers" and last <= 16 else small + large
    return [ranking.cuts[step] for step in steps if step < last] + [ranking.cuts[last]]


def open_sizes(ranking: Ranking) -> list[int]:
    """Sizes to measure where each look is dear: small ones, and up to a twentieth of all units.

    Only sizes at which the ranking may be cut; all of `frontier_sizes` where a model is so small
    that there are none.
    """
    most = len(ranking.space) // 20
    few = sorted({*ranking.cuts} & {size for size in OPEN_SIZES if size <= most})
    return few or frontier_sizes(ranking)


def grid_sizes(units: int, most: int) -> list[int]:
    """0 and powers of two up to `most` of `units`, ascending."""
    powers = [2**power for power in range(40) if 2**power <= min(units, most)]
    return [0, *powers]


def grid_circuits(ranking: Ranking) -> list[Circuit]:
    """The best heads and the best neurons in every pair of sizes of a grid, from none upwards.

    A kind that may be in no circuit has the size 0 only; with `layers`, sizes are whole blocks.
    """
    space = ranking.space
    heads = grid_sizes(space.total_heads, GRID_HEADS)
    neurons = grid_sizes(space.total_neurons, GRID_NEURONS)
    match ranking.granularity:
        case "heads":
            neurons = [0]
        case "neurons":
            heads = [0]
        case "layers":
            blocks = grid_sizes(space.n_layers, space.n_layers)
            heads = [space.n_heads * count for count in blocks]
            neurons = [space.d_mlp * count for count in blocks]
    return [ranking.best_of_each(some, others) for some in heads for others in neurons]


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
