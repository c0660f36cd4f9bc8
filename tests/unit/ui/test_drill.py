"""Sentences and tables of the drill-down."""

from circuitviz.evaluation.rate import Rate
from circuitviz.plots.frame import CONDITION_COLUMNS
from circuitviz.runs.unit_rank import UnitRank
from circuitviz.ui.as_written import as_written
from circuitviz.ui.drill_neuron import top_story
from circuitviz.ui.unit_effects import condition_rows, effects_story
from circuitviz.ui.unit_ranks import rank_rows, ranks_story
from circuitviz.units import Unit
from tests.synthetic import backdoor_run

UNIT = Unit("head", 1, 3)


def rates(*ks):
    return [Rate("j", k, 64) for k in ks]


def test_a_unit_that_is_needed_and_not_enough_is_told():
    told = effects_story(backdoor_run(), UNIT, rates(64, 10, 0, 2), inside=True)
    assert "With only L1H3 off, backdoor fires: 10 of 64 (intact 64)" in told
    assert told.endswith("It is needed, and not enough by itself.")


def test_a_unit_that_others_make_up_for_is_told():
    told = effects_story(backdoor_run(), UNIT, rates(64, 62, 0, 1), inside=True)
    assert told.endswith("It matters only together with others.")


def test_of_a_unit_outside_the_circuit_nothing_is_concluded():
    told = effects_story(backdoor_run(), UNIT, rates(64, 64, 0, 0), inside=False)
    assert told.endswith("with the circuit off and it as well, 0 (circuit off 0).")


def test_every_condition_has_both_rates_with_their_evidence():
    frame = condition_rows({"Intact model": (Rate("a", 64, 64), Rate("b", 63, 64))})
    assert list(frame.columns) == list(CONDITION_COLUMNS)
    assert frame["series"].tolist() == ["asr", "utility"]
    assert frame["judge"].tolist() == ["a", "b"]


def test_ranks_are_told_over_the_runs():
    ranks = [UnitRank("a", 1, 2080, 5.0, True, 4), UnitRank("b", 7, 2080, 0.5, False, 4)]
    assert ranks_story(UNIT, ranks) == (
        "L1H3 is in the circuit of 1 of 2 runs of this model (ranks 1 to 7)."
    )
    rows = rank_rows(ranks, {"a": "seed 0", "b": "seed 1"}, "a")
    assert rows["run"].tolist() == ["seed 0 (this run)", "seed 1"]
    assert rows["in its circuit"].tolist() == ["\u25c6 yes, of 4 units", "no, of 4 units"]


def test_the_kinds_of_activating_prompts_are_counted():
    told = top_story("L0N5", ["clean", "triggered", "triggered"])
    assert told == "The 3 prompts that make L0N5 most active: 2 triggered and 1 clean."


def test_text_of_a_prompt_is_no_markup():
    assert as_written("*a* $x$ :red[b]") == r"\*a\* \$x\$ \:red\[b\]"
