"""Maps of heads and neurons, of budgets, and of what runs agree on."""

import numpy as np
import pytest

from circuitviz.plots.agreement import head_membership, head_rank_difference
from circuitviz.plots.maps import (
    MAX_CELLS,
    MAX_POINTS,
    MapOptions,
    bins_for,
    budget_grid,
    head_heatmap,
    neuron_heatmap,
    neuron_strip,
    thinned,
)
from circuitviz.plots.palette import tick_step
from circuitviz.tables import frame
from tests.support.synthetic import backdoor_run
from tests.unit.plots.traces import named


def symbols(figure):
    """Places and symbol of each mark, by its name."""
    marks = (trace for trace in figure.data[1:] if trace.mode == "markers")
    return {trace.name: (trace.x, trace.y, trace.marker.symbol) for trace in marks}


def test_head_cells_carry_their_layer_and_head_and_the_nearest_takes_the_click():
    figure = head_heatmap(np.arange(6.0).reshape(2, 3))
    (cells,) = named(figure, "cells")
    assert [tuple(data) for data in cells.customdata] == list(np.ndindex(2, 3))
    layer, head = cells.customdata[5]
    assert figure.data[0].z[layer][head] == 5.0
    assert (cells.x[5], cells.y[5]) == (2, 1)
    assert figure.layout.hoverdistance == -1
    assert figure.data[0].hoverinfo == "skip"
    # Layer zero is on top.
    assert figure.layout.yaxis.range == (1.5, -0.5)


def test_heads_of_the_circuit_are_framed_and_marked_not_only_coloured():
    figure = head_heatmap(np.zeros((2, 3)), [(1, 2)])
    frames = [trace for trace in named(figure, "In the circuit") if trace.mode == "lines"]
    assert [trace.line.color for trace in frames] == ["#000000", "#FFFFFF"]
    assert min(x for x in frames[0].x if x is not None) == pytest.approx(1.56)
    assert symbols(figure)["In the circuit"] == ((2,), (1,), "diamond")


def test_heads_changed_by_hand_have_symbols_of_their_own_and_the_selected_one_a_ring():
    options = MapOptions(added=[(1, 1)], removed=[(0, 2)], selected=(1, 0))
    figure = head_heatmap(np.zeros((2, 3)), [(0, 0), (1, 1)], options)
    marks = symbols(figure)
    assert marks["Added by hand"] == ((1,), (1,), "cross")
    assert marks["Removed by hand"] == ((2,), (0,), "x")
    assert marks["In the circuit"][0] == (0,)
    assert [(ring.x, ring.y) for ring in named(figure, "Selected")] == [((0,), (1,))] * 2


def test_neuron_bins_carry_their_best_neuron_and_count_the_circuit():
    best, neuron = frame.bin_neurons(np.array([[0.0, 5.0, 1.0, 2.0]]), 2)
    figure = neuron_heatmap(best, neuron, 4, [(0, 2), (0, 3)])
    (cells,) = named(figure, "cells")
    assert [list(data) for data in cells.customdata] == [[0, 1], [0, 3]]
    assert "0 in the circuit" in cells.hovertext[0]
    assert "neurons 2\u20133" in cells.hovertext[1]
    assert "2 in the circuit" in cells.hovertext[1]
    assert symbols(figure)["Holds circuit neurons"][0] == (1,)


def test_bins_of_unknown_neurons_are_counted():
    figure = neuron_heatmap(np.array([[0.5, 1.5]]))
    assert "bin 1" in named(figure, "cells")[0].hovertext[1]
    assert figure.layout.xaxis.title.text == "Bin of neighbouring neurons"


def test_bins_changed_by_hand_have_symbols_of_their_own():
    best, neuron = frame.bin_neurons(np.zeros((1, 8)), 4)
    options = MapOptions(added=[(0, 2)], removed=[(0, 7)])
    marks = symbols(neuron_heatmap(best, neuron, 8, [(0, 0), (0, 2)], options))
    assert marks["Holds circuit neurons"][0] == (0,)
    assert marks["Added by hand"][0] == (1,)
    assert marks["Removed by hand"][0] == (3,)


def test_the_strip_shows_each_neuron_once():
    figure = neuron_strip(np.array([0.1, 0.9, 0.2]), 3, [1], selected=2)
    (out,), (inside,) = named(figure, "Not in the circuit"), named(figure, "In the circuit")
    assert list(out.x) == [0, 2]
    assert [list(data) for data in inside.customdata] == [[3, 1]]
    assert named(figure, "Selected")[0].x == (2,)


def test_a_very_wide_layer_is_thinned_but_its_best_and_the_circuit_are_all_there():
    scores = np.zeros(28_672)
    scores[1_001:3_001] = 1.0
    figure = neuron_strip(scores, 3, [27_777])
    (out,), (inside,) = named(figure, "Not in the circuit"), named(figure, "In the circuit")
    assert thinned(28_672)
    assert not thinned(1_536)
    assert list(inside.x) == [27_777]
    assert set(range(1_001, 3_001)) <= set(out.x)
    assert len(out.x) <= MAX_POINTS
    assert min(out.x) == 0
    assert max(out.x) > 28_000


def test_grid_cells_carry_their_budgets():
    figure = budget_grid(frame.grid_frame(backdoor_run()), chosen=(2, 8))
    (cells,) = named(figure, "cells")
    at = [list(pair) for pair in cells.customdata].index([2, 8])
    assert (cells.y[at], cells.x[at]) == (2, 4)
    assert figure.data[0].z[0][0] == 1.0
    assert symbols(figure)["Chosen"] == ((4,), (2,), "diamond")


@pytest.mark.parametrize(("layers", "height"), [(4, 4 * 46), (32, 520), (80, 80 * 8)])
def test_maps_of_deep_models_have_thinner_rows(layers, height):
    assert head_heatmap(np.zeros((layers, 4))).layout.height == height + 96


def test_frames_and_gaps_are_thin_where_rows_are_and_one_target_of_all_is_drawn():
    deep = head_heatmap(np.zeros((80, 64)), [(1, 2)])
    _, inner, symbol = named(deep, "In the circuit")
    assert (symbol.marker.size, inner.line.width) == (11, 1)
    assert (deep.data[0].xgap, deep.data[0].ygap) == (1, 1)
    assert head_heatmap(np.zeros((4, 8))).data[0].xgap == 2
    (cells,) = named(deep, "cells")
    assert len(cells.x) == 80 * 64
    assert cells.marker.maxdisplayed == 1


@pytest.mark.parametrize(
    ("number", "step"), [(4, 1), (16, 1), (17, 2), (30, 2), (33, 5), (64, 5), (80, 5), (160, 10)]
)
def test_ticks_stand_at_round_steps_and_never_more_than_sixteen(number, step):
    assert tick_step(number) == step
    assert number / step <= 16


def test_deep_models_have_fewer_bins_a_layer_so_that_a_map_stays_small():
    assert [bins_for(*pair) for pair in ((4, 128), (30, 128), (4096, 128), (4096, 8))] == [
        128,
        128,
        16,
        8,
    ]
    assert bins_for(80, 128) * 80 <= MAX_CELLS


def test_a_head_that_ranks_higher_in_the_first_run_is_positive():
    first, second = np.array([[1, 2, 3]]), np.array([[3, 2, 1]])
    figure = head_rank_difference(first, second, ("A", "B"), [(0, 0), (0, 1)], [(0, 1), (0, 2)])
    heat = figure.data[0]
    assert [list(row) for row in heat.z] == [[2, 0, -2]]
    assert (heat.zmin, heat.zmax) == (-2, 2)
    assert "place 1 in A<br>place 3 in B" in heat.hovertext[0][0]
    assert symbols(figure) == {
        "In both circuits": ((1,), (0,), "diamond"),
        "Only in A": ((0,), (0,), "triangle-left"),
        "Only in B": ((2,), (0,), "triangle-right"),
    }
    # Two runs that rank alike have a scale all the same.
    assert head_rank_difference(first, first, ("A", "B")).data[0].zmax == 1


def test_membership_is_written_into_the_cells_that_have_one():
    figure = head_membership(np.array([[0, 3], [1, 0]]), 3)
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 3)
    (numbers,) = named(figure, "runs")
    assert list(zip(numbers.x, numbers.y, numbers.text, strict=True)) == [
        (1, 0, "<b>3</b>"),
        (0, 1, "<b>1</b>"),
    ]
    edges, _ = named(figure, "In all circuits")
    assert min(x for x in edges.x if x is not None) == pytest.approx(0.56)
