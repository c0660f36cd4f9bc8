import numpy as np
import pytest

from circuitviz.plots import frame
from circuitviz.plots.bars import before_after
from circuitviz.plots.curves import INTACT_POSITION, log_position, loss_curve, tradeoff_curve
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
from tests.synthetic import backdoor_run


def named(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def test_head_cells_carry_their_layer_and_head():
    figure = head_heatmap(np.arange(6.0).reshape(2, 3))
    (cells,) = named(figure, "cells")
    assert [list(data) for data in cells.customdata] == [
        [0, 0],
        [0, 1],
        [0, 2],
        [1, 0],
        [1, 1],
        [1, 2],
    ]
    layer, head = cells.customdata[5]
    assert figure.data[0].z[layer][head] == 5.0
    assert (cells.x[5], cells.y[5]) == (2, 1)


def test_the_nearest_cell_takes_the_click_wherever_it_lands():
    figure = head_heatmap(np.zeros((2, 3)))
    assert figure.layout.hoverdistance == -1
    assert figure.data[0].hoverinfo == "skip"


def test_heads_of_the_circuit_are_framed_and_marked_not_only_coloured():
    figure = head_heatmap(np.zeros((2, 3)), [(1, 2)])
    frames = [t for t in named(figure, "In the circuit") if t.mode == "lines"]
    assert [trace.line.color for trace in frames] == ["#000000", "#FFFFFF"]
    assert min(x for x in frames[0].x if x is not None) == pytest.approx(1.56)
    (symbol,) = [t for t in named(figure, "In the circuit") if t.mode == "markers"]
    assert (symbol.x, symbol.y, symbol.marker.symbol) == ((2,), (1,), "diamond")


def test_heads_changed_by_hand_have_symbols_of_their_own():
    figure = head_heatmap(
        np.zeros((2, 3)), [(0, 0), (1, 1)], MapOptions(added=[(1, 1)], removed=[(0, 2)])
    )
    symbols = {
        trace.name: trace.marker.symbol for trace in figure.data[1:] if trace.mode == "markers"
    }
    assert symbols["Added by hand"] == "cross"
    assert symbols["Removed by hand"] == "x"
    (learned,) = [t for t in named(figure, "In the circuit") if t.mode == "markers"]
    assert learned.x == (0,)


def test_the_selected_head_is_ringed():
    figure = head_heatmap(np.zeros((2, 3)), options=MapOptions(selected=(1, 0)))
    assert [(t.x, t.y) for t in named(figure, "Selected")] == [((0,), (1,))] * 2


def test_layer_zero_is_on_top():
    assert head_heatmap(np.zeros((4, 2))).layout.yaxis.range == (3.5, -0.5)


def test_neuron_bins_carry_their_best_neuron_and_count_the_circuit():
    best, neuron = frame.bin_neurons(np.array([[0.0, 5.0, 1.0, 2.0]]), 2)
    figure = neuron_heatmap(best, neuron, 4, [(0, 2), (0, 3)])
    (cells,) = named(figure, "cells")
    assert [list(data) for data in cells.customdata] == [[0, 1], [0, 3]]
    assert "0 in the circuit" in cells.hovertext[0]
    assert "neurons 2–3" in cells.hovertext[1]
    assert "2 in the circuit" in cells.hovertext[1]
    (marked,) = named(figure, "Holds circuit neurons")
    assert marked.x == (1,)


def test_the_strip_shows_each_neuron_once():
    figure = neuron_strip(np.array([0.1, 0.9, 0.2]), 3, [1], selected=2)
    (out,), (inside,) = named(figure, "Not in the circuit"), named(figure, "In the circuit")
    assert list(out.x) == [0, 2]
    assert [list(data) for data in inside.customdata] == [[3, 1]]
    assert named(figure, "Selected")[0].x == (2,)


def test_size_zero_stands_left_of_one_on_the_log_axis():
    assert log_position(0) == INTACT_POSITION < log_position(1) == 1
    figure = tradeoff_curve(frame.tradeoff_frame(backdoor_run()), n_units=2080)
    (line,) = [t for t in named(figure, "Attack success") if t.mode == "lines+markers"]
    assert line.x[0] == INTACT_POSITION
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.ticktext[0] == "0<br>intact"


def test_curve_points_carry_their_size_and_the_chosen_one_is_ringed():
    curve = frame.tradeoff_frame(backdoor_run())
    figure = tradeoff_curve(curve, n_units=2080, chosen=4, target_asr=0.004)
    (line,) = [t for t in named(figure, "Attack success") if t.mode == "lines+markers"]
    at = [list(data) for data in line.customdata].index([4])
    assert (line.x[at], line.y[at]) == (4, 0.0)
    (ring,) = named(figure, "chosen size")
    assert set(ring.x) == {4}
    assert len(ring.y) == 3


def test_bands_run_from_the_lower_to_the_upper_end():
    curve = frame.tradeoff_frame(backdoor_run())
    figure = tradeoff_curve(curve, n_units=2080)
    band = named(figure, "95 % interval")[0]
    rows = curve[curve["series"] == "asr"].sort_values("size")
    assert list(band.y) == [*rows["high"], *rows["low"][::-1]]


def test_grid_cells_carry_their_budgets():
    grid = frame.grid_frame(backdoor_run())
    figure = budget_grid(grid, chosen=(2, 8))
    (cells,) = named(figure, "cells")
    data = [list(pair) for pair in cells.customdata]
    at = data.index([2, 8])
    assert (cells.y[at], cells.x[at]) == (2, 4)
    assert figure.data[0].z[0][0] == 1.0
    assert named(figure, "Chosen")


def test_before_after_keeps_the_order_of_the_conditions():
    figure = before_after(frame.condition_frame(backdoor_run()))
    assert list(figure.layout.yaxis.ticktext) == [
        "Intact model",
        "<b>Circuit off</b>",
        "Random circuit off",
        "Only the circuit on",
    ]
    (asr,) = named(figure, "Attack success")
    assert list(asr.x)[:2] == [1.0, 0.0]
    assert asr.error_x.array[0] == 0.0
    assert asr.marker.symbol != named(figure, "Utility")[0].marker.symbol


def test_losses_are_drawn_over_the_whole_run_from_the_start():
    figure = loss_curve([1, 2], {"removal": [3.0, 2.0], "utility": [0.1, 0.2]}, 160)
    assert figure.layout.xaxis.range == (0, 160)
    assert [list(trace.y) for trace in figure.data] == [[3.0, 2.0], [0.1, 0.2]]
    assert len({trace.line.dash for trace in figure.data}) == 2
    assert loss_curve([], {}, 0).layout.xaxis.range == (0, 1)


def test_the_random_control_stands_at_its_size_on_the_curve():
    run = backdoor_run()
    control = frame.random_control(run)
    figure = tradeoff_curve(frame.tradeoff_frame(run), n_units=2080, control=control)
    (cross,) = named(figure, "Attack success, random circuit")
    assert (cross.x, cross.y, cross.marker.symbol) == ((4,), (1.0,), "x")


def test_bins_of_unknown_neurons_are_counted():
    figure = neuron_heatmap(np.array([[0.5, 1.5]]))
    (cells,) = named(figure, "cells")
    assert "bin 1" in cells.hovertext[1]
    assert figure.layout.xaxis.title.text == "Bin of neighbouring neurons"


def test_bins_changed_by_hand_have_symbols_of_their_own():
    best, neuron = frame.bin_neurons(np.zeros((1, 8)), 4)
    figure = neuron_heatmap(
        best, neuron, 8, [(0, 0), (0, 2)], MapOptions(added=[(0, 2)], removed=[(0, 7)])
    )
    assert named(figure, "Holds circuit neurons")[0].x == (0,)
    assert named(figure, "Added by hand")[0].x == (1,)
    assert named(figure, "Removed by hand")[0].x == (3,)


@pytest.mark.parametrize(("layers", "height"), [(4, 4 * 46), (32, 520), (80, 80 * 8)])
def test_maps_of_deep_models_have_thinner_rows(layers, height):
    assert head_heatmap(np.zeros((layers, 4))).layout.height == height + 96


def test_cells_are_hit_though_only_one_of_them_is_drawn():
    figure = head_heatmap(np.zeros((80, 64)))
    (cells,) = named(figure, "cells")
    assert len(cells.x) == 80 * 64
    assert cells.marker.maxdisplayed == 1


@pytest.mark.parametrize(
    ("number", "step"), [(4, 1), (16, 1), (17, 2), (30, 2), (33, 5), (64, 5), (80, 5), (160, 10)]
)
def test_ticks_stand_at_round_steps_and_never_more_than_sixteen(number, step):
    assert tick_step(number) == step
    assert number / step <= 16


def test_deep_models_have_fewer_bins_a_layer_so_that_a_map_stays_small():
    assert bins_for(4, 128) == 128
    assert bins_for(30, 128) == 128
    assert bins_for(80, 128) * 80 <= MAX_CELLS
    assert bins_for(4096, 128) == 16
    assert bins_for(4096, 8) == 8


def test_frames_and_gaps_are_thin_where_rows_are():
    deep = head_heatmap(np.zeros((80, 64)), [(1, 2)])
    (symbol,) = [t for t in named(deep, "In the circuit") if t.mode == "markers"]
    assert symbol.marker.size == 11
    (_, frame_line) = [t for t in named(deep, "In the circuit") if t.mode == "lines"]
    assert frame_line.line.width == 1
    assert (deep.data[0].xgap, deep.data[0].ygap) == (1, 1)
    assert head_heatmap(np.zeros((4, 8))).data[0].xgap == 2


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
