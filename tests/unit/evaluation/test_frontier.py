"""Sizes of the frontier, and random circuits of the same make-up."""

import numpy as np

from circuitviz.evaluation.frontier import frontier_sizes, grid_circuits, grid_sizes, random_matched
from circuitviz.units import Circuit, Ranking, UnitSpace


def flat_ranking(n_layers, n_heads, d_mlp, granularity="both") -> Ranking:
    space = UnitSpace(n_layers, n_heads, d_mlp)
    return Ranking(space, np.zeros(len(space)), granularity)


def test_sizes_are_dense_where_circuits_are_small_and_end_with_everything():
    assert frontier_sizes(flat_ranking(1, 4, 16)) == [1, 2, 3, 4, 6, 8, 12, 16, 20]
    sizes = frontier_sizes(flat_ranking(4, 8, 512))
    assert sizes[-3:] == [256, 1024, 2080]
    assert sizes == sorted(set(sizes))


def test_sizes_of_one_kind_end_with_all_of_that_kind():
    assert frontier_sizes(flat_ranking(4, 5, 100, "heads")) == [1, 2, 3, 4, 6, 8, 12, 16, 20]
    assert frontier_sizes(flat_ranking(1, 50, 7, "neurons")) == [1, 2, 3, 4, 6, 7]


def test_sizes_of_layers_are_whole_blocks():
    # Attention blocks of 3 first, as ties keep flat order, then MLP blocks of 10.
    assert frontier_sizes(flat_ranking(2, 3, 10, "layers")) == [3, 6, 16, 26]
    # 20 blocks: as many as 1, 2, 3, 4, 6, 8, 12, 16 and 20 of them.
    expected = [1, 2, 3, 4, 6, 8, 10 + 2 * 2, 10 + 6 * 2, 30]
    assert frontier_sizes(flat_ranking(10, 1, 2, "layers")) == expected


def test_the_grid_keeps_to_the_granularity():
    def make_up(granularity):
        ranking = flat_ranking(2, 3, 4, granularity)
        return [(len(one.heads), len(one.neurons)) for one in grid_circuits(ranking)]

    assert make_up("heads") == [(0, 0), (1, 0), (2, 0), (4, 0)]
    assert make_up("neurons") == [(0, 0), (0, 1), (0, 2), (0, 4), (0, 8)]
    assert make_up("layers") == [(h, n) for h in (0, 3, 6) for n in (0, 4, 8)]


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
