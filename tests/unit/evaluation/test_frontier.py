"""Sizes of the frontier, and random circuits of the same make-up."""

import numpy as np

from circuitviz.evaluation.frontier import frontier_sizes, grid_circuits, grid_sizes, random_matched
from circuitviz.units import Circuit, Ranking, UnitSpace


def test_sizes_are_dense_where_circuits_are_small_and_end_with_everything():
    assert frontier_sizes(20) == [1, 2, 3, 4, 6, 8, 12, 16, 20]
    sizes = frontier_sizes(2080)
    assert sizes[-3:] == [256, 1024, 2080]
    assert sizes == sorted(set(sizes))


def test_grid_sizes_are_powers_of_two_within_bounds():
    assert grid_sizes(32, 1000) == [0, 1, 2, 4, 8, 16, 32]
    assert grid_sizes(2048, 8) == [0, 1, 2, 4, 8]


def test_random_circuits_match_kind_and_layer_and_are_repeatable():
    space = UnitSpace(n_layers=3, n_heads=4, d_mlp=10)
    circuit = Circuit.of(space, ["L0H1", "L0H2", "L2H3", "L1N4", "L1N5", "L2N0"])
    drawn = random_matched(circuit, np.random.default_rng(3))

    def make_up(one: Circuit) -> list[tuple[str, int]]:
        return sorted((unit.kind, unit.layer) for unit in one)

    assert make_up(drawn) == make_up(circuit)
    assert not drawn.units & circuit.units
    assert drawn == random_matched(circuit, np.random.default_rng(3))
    assert drawn != random_matched(circuit, np.random.default_rng(4))


def test_units_of_the_circuit_are_drawn_where_others_run_out():
    space = UnitSpace(n_layers=1, n_heads=4, d_mlp=3)
    circuit = Circuit.of(space, ["L0H0", "L0H1", "L0H2"])
    drawn = random_matched(circuit, np.random.default_rng(0))
    assert len(drawn) == 3
    assert Circuit.of(space, ["L0H3"]).units <= drawn.units


def test_a_random_circuit_of_everything_is_everything():
    space = UnitSpace(n_layers=2, n_heads=2, d_mlp=3)
    everything = Circuit.everything(space)
    assert random_matched(everything, np.random.default_rng(0)) == everything


def test_the_grid_pairs_the_best_heads_with_the_best_neurons():
    space = UnitSpace(n_layers=1, n_heads=2, d_mlp=4)
    ranking = Ranking(space, np.array([0.0, 5.0, 1.0, 2.0, 3.0, 4.0]))
    circuits = grid_circuits(ranking)
    assert len(circuits) == 3 * 4
    assert circuits[0] == Circuit(space, frozenset())
    assert circuits[5] == Circuit.of(space, ["L0H1", "L0N3"])
    assert circuits[-1] == Circuit.everything(space)
