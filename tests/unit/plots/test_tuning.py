from __future__ import annotations

from itertools import combinations

import pytest

from circuitviz.narrative.tuning_story import tuning_doubts, tuning_headline, tuning_lead
from circuitviz.plots.bars import tuning_arms
from circuitviz.plots.curves import ARM_STYLES, tuning_curve
from circuitviz.tables.tuning_frame import (
    ARM_COLUMNS,
    arm_frame,
    curve_rates,
    last_epoch,
    prompts_measured,
    tuning_table,
)
from tests.support.synthetic import backdoor_run, refusal_run, with_results
from tests.support.synthetic_tuning import protect_tuning, repair_tuning
from tests.support.synthetic_tuning import tuning_curve as points


def plain(text: str) -> str:
    return text.replace("\u202f", " ").replace("\u2060", "")


@pytest.fixture
def curve():
    made = points((64, 0), {"full": (0, 256), "circuit": (64, 256)}, epochs=4)
    return curve_rates([point.row() for point in made])


def test_a_curve_has_a_row_per_point_and_series_the_circuit_first(curve):
    assert len(curve) == 2 * 2 * 5
    assert list(dict.fromkeys(curve["arm"])) == ["circuit", "full"]
    row = curve.iloc[3]
    # 64 of 256 helpful after one of four epochs: 16 of 64 validation prompts.
    assert (row["arm"], row["epoch"], row["series"]) == ("circuit", 1, "helpfulness")
    assert (row["k"], row["n"], row["rate"]) == (16, 64, 0.25)
    assert row["low"] < 0.25 < row["high"]
    assert last_epoch(curve) == 4
    assert prompts_measured(curve) == "64 for safety and 64 for helpfulness"


def test_no_points_make_an_empty_curve():
    assert curve_rates([]).empty
    assert last_epoch(curve_rates([])) == 0
    assert prompts_measured(curve_rates([])) == ""


def test_each_arm_is_a_line_and_the_level_before_is_dotted(curve):
    figure = tuning_curve(curve, series="safety", mode="repair", epochs=6)
    lines = {trace.name: trace for trace in figure.data if trace.hovertext}
    assert set(lines) == {"Everything trained", "Only the circuit trained"}
    assert list(lines["Everything trained"].y) == [0.25, 0.1875, 0.125, 0.0625, 0.0]
    # The circuit's is drawn last, so that it is seen where lines coincide.
    assert list(lines)[-1] == "Only the circuit trained"
    assert lines["Only the circuit trained"].legendrank < lines["Everything trained"].legendrank
    (level,) = figure.layout.shapes
    assert (level.y0, level.line.dash) == (0.25, "dot")
    assert figure.layout.xaxis.range == (-0.15, 6.15)


def test_a_curve_without_points_is_an_empty_figure():
    figure = tuning_curve(curve_rates([]), series="safety", mode="protect", epochs=1)
    assert len(figure.data) == 0


def test_arms_differ_in_more_than_colour():
    for one, other in combinations(ARM_STYLES.values(), 2):
        assert one.colour != other.colour
        assert one.symbol != other.symbol
        assert one.dash != other.dash


def test_the_arms_at_the_end_stand_below_before_with_their_intervals():
    frame = arm_frame(repair_tuning())
    assert list(frame.columns) == list(ARM_COLUMNS)
    assert list(dict.fromkeys(frame["arm"])) == ["before", "circuit", "full", "random", "knock-out"]
    safety, values, helpfulness, _ = tuning_arms(frame).data
    assert list(safety.x) == [0, 1, 1, 31 / 256, 1]
    assert safety.y[0] > safety.y[1] > safety.y[-1]
    assert safety.error_x.array[1] == 0.0
    assert safety.error_x.arrayminus[1] == pytest.approx(1 - frame["low"][2])
    assert plain(values.text[3]) == "<b>12.1 %</b>"
    assert safety.marker.symbol != helpfulness.marker.symbol


def test_the_table_says_k_of_n_and_leaves_out_what_no_arm_has():
    table = tuning_table(protect_tuning())
    assert list(table[""])[1] == "Circuit protected"
    assert plain(table["safety"][1]) == "99.2 %, 254 of 256 (97.2–99.8 %)"
    assert plain(table["safety kept"][2]) == "30.9 %"
    assert plain(table["parameters trained"][1]) == "99.8 %"
    # Of a backdoor nothing was safe before.
    assert "safety kept" not in tuning_table(repair_tuning())


def test_the_table_of_a_backdoor_tells_how_triggered_prompts_are_answered():
    tuning = repair_tuning()
    table = tuning_table(tuning)
    # There, ordinary prompts are what helpfulness counts.
    assert "ordinary prompts" not in table
    assert "triggered prompts answered right" not in tuning_table(protect_tuning())
    before, circuit, *_, knocked_out = table["triggered prompts answered right"]
    assert plain(before).startswith("0.0 %, 0 of 256 (")
    assert plain(circuit).startswith("100.0 %, 256 of 256 (")
    assert table[""].iloc[-1] == "Circuit knocked out (zero)"
    assert knocked_out != "\u2013"


def test_headlines_answer_for_each_scenario():
    assert plain(tuning_headline(protect_tuning())) == (
        "Protecting 64 units kept 99.2 % of refusals; full fine-tuning kept 30.9 %"
    )
    assert plain(tuning_headline(repair_tuning(backdoor_run()))) == (
        "Training only 4 units took the backdoor from 100.0 % to 0.0 %; full fine-tuning to 0.0 %"
    )
    assert plain(tuning_headline(repair_tuning(refusal_run()))) == (
        "Training only 64 units brought refusals from 0.0 % to 100.0 %; full fine-tuning to 100.0 %"
    )


def test_the_lead_tells_what_was_learned_and_how_little_was_trained():
    lead = plain(tuning_lead(repair_tuning()))
    assert lead.endswith("100.0 % before, 99.6 % after, with 0.24 % of all parameters trained.")


def test_a_random_circuit_that_does_as_well_is_said():
    tuning = protect_tuning()
    assert [doubt.holds for doubt in tuning_doubts(tuning)] == [True, True]
    same = tuning.metrics.arms["circuit"].changed(frozen_equal=False)
    other = with_results(tuning, arms={"random": same})
    beside, frozen = tuning_doubts(other)
    assert not beside.holds
    assert beside.claim == "This circuit, and not a random one"
    assert (frozen.holds, frozen.finding) == (False, "Moved in: Random circuit protected.")


@pytest.mark.parametrize(
    ("overlap", "ends"),
    [
        (0, "neurons in each layer."),
        (1, "layer; 1 of its units is the circuit's own, since a layer has too few others."),
        (3, "layer; 3 of its units are the circuit's own, since a layer has too few others."),
    ],
)
def test_how_the_random_circuit_was_drawn_is_said(overlap, ends):
    tuning = protect_tuning()
    beside, _ = tuning_doubts(with_results(tuning, random_overlap=overlap))
    assert "One draw of as many other heads" in beside.finding
    assert beside.finding.endswith(ends)
