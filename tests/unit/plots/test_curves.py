"""Rates over sizes and shares, and losses over steps."""

import pytest

from circuitviz.plots.curves import (
    INTACT_POSITION,
    log_position,
    loss_curve,
    loss_frame,
    overlay_curve,
    stochastic_curve,
    tradeoff_curve,
)
from circuitviz.plots.palette import RUN_STYLES
from circuitviz.tables import frame
from circuitviz.tables.comparison_frame import overlay_frame
from circuitviz.tables.evidence_frame import stochastic_frame
from tests.support.synthetic import backdoor_run, controlled_run, other_seed_run
from tests.unit.plots.traces import named


@pytest.fixture(scope="module")
def runs():
    return {"first": controlled_run(), "second": other_seed_run()}


def overlay(runs, series="asr"):
    rates, order = overlay_frame(runs, series), ["first", "second"]
    return overlay_curve(rates, order=order, series=series, n_units=2080)


def test_the_curve_marks_the_chosen_size_and_its_points_carry_theirs():
    run = backdoor_run()
    curve, control = frame.tradeoff_frame(run), frame.random_control(run)
    figure = tradeoff_curve(curve, n_units=2080, chosen=4, target_asr=0.004, control=control)
    (line,) = [trace for trace in named(figure, "Attack success") if trace.mode == "lines+markers"]
    at = [list(data) for data in line.customdata].index([4])
    assert (line.x[at], line.y[at]) == (4, 0.0)
    (ring,) = named(figure, "chosen size")
    assert (set(ring.x), len(ring.y)) == ({4}, 3)
    (cross,) = named(figure, "Attack success, random circuit")
    assert (cross.x, cross.y, cross.marker.symbol) == ((4,), (1.0,), "x")
    # Size zero stands left of one on the log axis.
    assert line.x[0] == INTACT_POSITION == log_position(0) < log_position(1) == 1
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.ticktext[0] == "0<br>intact"
    # Bands run from the lower to the upper end.
    rows = curve[curve["series"] == "asr"].sort_values("size")
    band = named(figure, "95 % interval")[0]
    assert list(band.y) == [*rows["high"], *rows["low"][::-1]]


def test_each_run_has_a_colour_a_symbol_and_a_dash(runs):
    figure = overlay(runs)
    first, second = named(figure, "first")[0], named(figure, "second")[0]
    assert first.x[0] == INTACT_POSITION
    assert (first.y[0], first.y[4]) == (1.0, 0.0)
    for attribute in ("marker.color", "marker.symbol", "line.dash"):
        assert first[attribute] != second[attribute]
    for attribute in ("colour", "symbol", "dash", "pattern"):
        assert len({getattr(style, attribute) for style in RUN_STYLES}) == len(RUN_STYLES)


def test_a_run_keeps_its_style_when_another_is_not_drawn(runs):
    figure = overlay({"second": runs["second"]})
    assert not named(figure, "first")
    assert named(figure, "second")[0].marker.symbol == RUN_STYLES[1].symbol


def test_the_size_each_run_chose_is_ringed(runs):
    (ring,) = named(overlay(runs, "utility"), "size chosen by first")
    assert (ring.x, ring.y, ring.marker.symbol) == ((4,), (1.0,), "circle-open")


def test_the_stochastic_curve_shows_both_circuits_with_bands():
    figure = stochastic_curve(stochastic_frame(controlled_run()))
    (kept,) = named(figure, "Behaviour, circuit kept")
    (chance,) = named(figure, "Behaviour, random circuit kept")
    assert list(kept.x) == [0.0, 0.1, 0.25, 0.5]
    assert kept.y[3] == pytest.approx(154 / 256)
    assert chance.y[3] == 0
    assert len(named(figure, "95 % interval")) == 3
    assert kept.line.dash != chance.line.dash


def test_losses_are_drawn_over_the_whole_run_from_the_start():
    figure = loss_curve([1, 2], {"removal": [3.0, 2.0], "utility": [0.1, 0.2]}, 160)
    assert figure.layout.xaxis.range == (0, 160)
    assert [list(trace.y) for trace in figure.data] == [[3.0, 2.0], [0.1, 0.2]]
    assert len({trace.line.dash for trace in figure.data}) == 2
    assert loss_curve([], {}, 0).layout.xaxis.range == (0, 1)


def test_losses_stand_beside_their_steps_the_latest_last():
    rows = loss_frame([10, 20, 30], {"removal": [3.0, 2.0, 1.0], "utility": [0.5]})
    assert rows["removal"].tolist() == [3.0, 2.0, 1.0]
    assert rows["utility"].isna().tolist() == [True, True, False]
    assert loss_frame([5], {"removal": [9.0, 1.0]})["removal"].tolist() == [1.0]
    assert loss_frame([], {"removal": [9.0]}).empty
