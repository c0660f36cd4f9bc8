from __future__ import annotations

import numpy as np
import pytest

from circuitviz.errors import ConfigError
from circuitviz.units import Circuit, Ranking, Unit, UnitSpace, groups, random_matched

# 2 layers of 3 heads and 5 neurons: heads are flat 0 to 5, neurons 6 to 15.
SPACE = UnitSpace(n_layers=2, n_heads=3, d_mlp=5)


@pytest.mark.parametrize(
    ("name", "unit"),
    [("L5H3", Unit("head", 5, 3)), ("L0N1201", Unit("neuron", 0, 1201))],
)
def test_a_unit_is_written_and_read(name, unit):
    assert str(unit) == name
    assert Unit.parse(f" {name} ") == unit


@pytest.mark.parametrize(
    "name", ["", "H3", "L5", "L5H", "L5X3", "l5h3", "L-1H0", "L5H3N1", "L5 H3"]
)
def test_any_other_name_is_refused_with_the_name(name):
    with pytest.raises(ConfigError, match="a unit is written L5H3 or L5N1201") as error:
        Unit.parse(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize(
    ("kind", "layer", "index"), [("head", -1, 0), ("head", 0, -1), ("layer", 0, 0)]
)
def test_impossible_units_are_refused(kind, layer, index):
    with pytest.raises(ConfigError):
        Unit(kind, layer, index)


@pytest.mark.parametrize(
    ("flat", "name"),
    [(0, "L0H0"), (2, "L0H2"), (3, "L1H0"), (5, "L1H2"), (6, "L0N0"), (10, "L0N4"), (15, "L1N4")],
)
def test_flat_indices_count_heads_then_neurons_layer_by_layer(flat, name):
    assert SPACE.unit(flat) == Unit.parse(name)
    assert SPACE.flat(Unit.parse(name)) == flat


def test_a_space_counts_its_units():
    assert (SPACE.total_heads, SPACE.total_neurons, len(SPACE)) == (6, 10, 16)
    assert [SPACE.flat(unit) for unit in SPACE] == list(range(16))


@pytest.mark.parametrize("flat", [-1, 16])
def test_flat_indices_outside_are_refused(flat):
    with pytest.raises(IndexError, match=r"outside \[0, 16\)"):
        SPACE.unit(flat)


@pytest.mark.parametrize("name", ["L2H0", "L0H3", "L0N5"])
def test_units_the_model_lacks_are_refused(name):
    unit = Unit.parse(name)
    assert unit not in SPACE
    with pytest.raises(ConfigError, match=f"no unit {name}"):
        SPACE.flat(unit)
    with pytest.raises(ConfigError, match=f"no unit {name}"):
        Circuit.of(SPACE, [name])


@pytest.mark.parametrize("shape", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_space_without_units_is_refused(shape):
    with pytest.raises(ConfigError, match=">= 1"):
        UnitSpace(*shape)


def test_split_cuts_by_kind_and_layer_and_join_undoes_it():
    flat = np.arange(32).reshape(2, 16)
    heads, neurons = SPACE.split(flat)
    assert heads[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert neurons[1].tolist() == [[22, 23, 24, 25, 26], [27, 28, 29, 30, 31]]
    np.testing.assert_array_equal(SPACE.join(heads, neurons), flat)


def test_a_circuit_counts_each_kind():
    circuit = Circuit.of(SPACE, ["L1N4", "L0H1", "L1H2", "L0H1"])
    assert [str(unit) for unit in circuit] == ["L0H1", "L1H2", "L1N4"]
    assert [str(unit) for unit in circuit.heads] == ["L0H1", "L1H2"]
    assert [str(unit) for unit in circuit.neurons] == ["L1N4"]
    assert circuit.sparsity == pytest.approx(3 / 16)
    assert circuit.sparsity_heads == pytest.approx(2 / 6)
    assert circuit.sparsity_neurons == pytest.approx(1 / 10)
    assert np.flatnonzero(circuit.mask()).tolist() == [1, 5, 15]


def test_the_complement_is_all_the_rest():
    circuit = Circuit.of(SPACE, ["L0H1", "L1N4"])
    assert len(circuit.complement) == 14
    assert circuit.complement.complement == circuit
    assert Circuit.of(SPACE, []).complement == Circuit.everything(SPACE)


def test_toggling_adds_and_removes_and_leaves_the_original():
    circuit = Circuit.of(SPACE, ["L0H1"])
    more = circuit.toggled(Unit.parse("L1N4"))
    assert [str(unit) for unit in more] == ["L0H1", "L1N4"]
    assert more.toggled(Unit.parse("L1N4")) == circuit
    assert len(circuit) == 1


def test_ranking_is_by_score_and_ties_keep_their_order():
    assert Ranking(UnitSpace(1, 2, 3), np.array([0.5, 2.0, 0.5, -1.0, 2.0])).order.tolist() == [
        1,
        4,
        0,
        2,
        3,
    ]


# 2 layers of 2 heads and 3 neurons: heads are flat 0 to 3, neurons 4 to 9.
SMALL = UnitSpace(n_layers=2, n_heads=2, d_mlp=3)


@pytest.mark.parametrize(
    ("granularity", "expected"),
    [
        ("both", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("heads", [0, 1, 2, 3, -1, -1, -1, -1, -1, -1]),
        ("neurons", [-1, -1, -1, -1, 0, 1, 2, 3, 4, 5]),
        ("layers", [0, 0, 1, 1, 2, 2, 2, 3, 3, 3]),
    ],
)
def test_groups_are_what_a_circuit_holds_as_a_whole(granularity, expected):
    assert groups(SMALL, granularity).tolist() == expected


@pytest.mark.parametrize("make", [groups, lambda s, g: Ranking(s, np.zeros(len(s)), g)])
def test_an_unknown_granularity_is_refused(make):
    with pytest.raises(ConfigError, match=r"granularity must be one of both, heads, .* 'tokens'"):
        make(SMALL, "tokens")


@pytest.mark.parametrize(
    ("granularity", "expected"),
    [("both", list(range(11))), ("heads", [0, 1, 2, 3, 4]), ("neurons", [0, 1, 2, 3, 4, 5, 6])],
)
def test_a_ranking_is_cut_between_any_two_units_of_a_kind(granularity, expected):
    assert Ranking(SMALL, np.zeros(10), granularity).cuts == expected


def test_units_of_the_other_kind_come_last_whatever_they_score():
    ranking = Ranking(SMALL, np.arange(10.0), "heads")
    assert ranking.order[:4].tolist() == [3, 2, 1, 0]
    assert ranking.best(ranking.cuts[-1]) == Circuit.of(SMALL, ["L0H0", "L0H1", "L1H0", "L1H1"])


def test_layers_are_cut_in_whole_blocks_by_their_mean_score():
    # Means: attention 2 and 0, MLP 1 and 3.  The best single unit is in the block of mean 2.
    scores = np.array([4.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0])
    ranking = Ranking(SMALL, scores, "layers")
    assert ranking.order.tolist() == [7, 8, 9, 0, 1, 4, 5, 6, 2, 3]
    assert ranking.cuts == [0, 3, 5, 8, 10]
    assert ranking.best(5) == Circuit.of(SMALL, ["L1N0", "L1N1", "L1N2", "L0H0", "L0H1"])


def test_blocks_of_equal_score_stay_whole():
    assert Ranking(SMALL, np.zeros(10), "layers").cuts == [0, 2, 4, 7, 10]


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
