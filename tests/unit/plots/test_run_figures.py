import numpy as np
import pytest

from circuitviz.plots.agreement import head_membership, head_rank_difference
from circuitviz.plots.comparison_frame import judged_alike, overlay_frame, summary_frame
from circuitviz.plots.curves import INTACT_POSITION, overlay_curve, stochastic_curve
from circuitviz.plots.evidence_frame import stochastic_frame
from circuitviz.plots.palette import RUN_STYLES
from tests.synthetic import backdoor_run, controlled_run, other_seed_run, with_results


def named(figure, name):
    return [trace for trace in figure.data if trace.name == name]


@pytest.fixture(scope="module")
def runs():
    return {"first": controlled_run(), "second": other_seed_run()}


def with_judge(run, judge):
    named = {"judge": judge}
    return with_results(run, asr={"intact": named, "knocked_out": named})


def test_each_run_has_a_colour_a_symbol_and_a_dash(runs):
    figure = overlay_curve(overlay_frame(runs, "asr"), order=list(runs), series="asr", n_units=2080)
    first, second = named(figure, "first")[0], named(figure, "second")[0]
    assert first.x[0] == INTACT_POSITION
    assert (first.y[0], first.y[4]) == (1.0, 0.0)
    for attribute in ("marker.color", "marker.symbol", "line.dash"):
        assert first[attribute] != second[attribute]


def test_a_run_keeps_its_style_when_another_is_not_drawn(runs):
    only = {"second": runs["second"]}
    figure = overlay_curve(overlay_frame(only, "asr"), order=list(runs), series="asr", n_units=2080)
    assert not named(figure, "first")
    assert named(figure, "second")[0].marker.symbol == RUN_STYLES[1].symbol


def test_the_size_each_run_chose_is_ringed(runs):
    figure = overlay_curve(
        overlay_frame(runs, "utility"), order=list(runs), series="utility", n_units=2080
    )
    (ring,) = named(figure, "size chosen by first")
    assert (ring.x, ring.y, ring.marker.symbol) == ((4,), (1.0,), "circle-open")


def test_all_styles_differ_in_more_than_colour():
    for attribute in ("colour", "symbol", "dash", "pattern"):
        assert len({getattr(style, attribute) for style in RUN_STYLES}) == len(RUN_STYLES)


def test_two_judges_never_share_an_axis(runs):
    mixed = {**runs, "third": with_judge(runs["second"], "classifier")}
    alike, otherwise = judged_alike(mixed, "asr")
    assert list(alike) == ["first", "second"]
    assert otherwise == {"third": "classifier"}
    assert judged_alike({}, "asr") == ({}, {})


def test_runs_are_summed_up_with_their_frontier_area(runs):
    rows = summary_frame({**runs, "old": backdoor_run()}).set_index("run")
    assert rows.loc["first", "frontier area"] == 0.941
    assert np.isnan(rows.loc["old", "frontier area"])
    assert rows.loc["second", "chosen size"] == 4
    assert "0 of 256" in rows.loc["second", "attack success"]


def test_the_stochastic_curve_shows_both_circuits_with_bands():
    found = stochastic_frame(controlled_run())
    figure = stochastic_curve(found)
    (kept,) = named(figure, "Behaviour, circuit kept")
    (chance,) = named(figure, "Behaviour, random circuit kept")
    assert list(kept.x) == [0.0, 0.1, 0.25, 0.5]
    assert kept.y[3] == pytest.approx(154 / 256)
    assert chance.y[3] == 0
    assert len(named(figure, "95 % interval")) == 3
    assert kept.line.dash != chance.line.dash


def test_a_head_that_ranks_higher_in_the_first_run_is_positive():
    first, second = np.array([[1, 2, 3]]), np.array([[3, 2, 1]])
    figure = head_rank_difference(first, second, ("A", "B"), [(0, 0), (0, 1)], [(0, 1), (0, 2)])
    heat = figure.data[0]
    assert [list(row) for row in heat.z] == [[2, 0, -2]]
    assert (heat.zmin, heat.zmax) == (-2, 2)
    assert "place 1 in A<br>place 3 in B" in heat.hovertext[0][0]
    symbols = {trace.name: (trace.x, trace.marker.symbol) for trace in figure.data[1:]}
    assert symbols["In both circuits"] == ((1,), "diamond")
    assert symbols["Only in A"] == ((0,), "triangle-left")
    assert symbols["Only in B"] == ((2,), "triangle-right")


def test_two_runs_that_rank_alike_have_a_scale_all_the_same():
    ranks = np.array([[1, 2]])
    assert head_rank_difference(ranks, ranks, ("A", "B")).data[0].zmax == 1


def test_membership_is_written_into_the_cells_that_have_one():
    figure = head_membership(np.array([[0, 3], [1, 0]]), 3)
    assert (figure.data[0].zmin, figure.data[0].zmax) == (0, 3)
    (numbers,) = named(figure, "runs")
    assert list(zip(numbers.x, numbers.y, numbers.text, strict=True)) == [
        (1, 0, "<b>3</b>"),
        (0, 1, "<b>1</b>"),
    ]
    (frame, _) = named(figure, "In all circuits")
    assert min(x for x in frame.x if x is not None) == pytest.approx(0.56)
