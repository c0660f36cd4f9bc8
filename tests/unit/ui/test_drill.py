"""Sentences and tables of the drill-down."""

from dataclasses import replace

import pytest

from circuitviz.evaluation.rate import Rate
from circuitviz.runs.comparison import UnitRank
from circuitviz.tables.frame import CONDITION_COLUMNS
from circuitviz.ui.drill.inside import top_story
from circuitviz.ui.drill.view import (
    condition_rows,
    effects_story,
    other_seed,
    rank_rows,
    ranks_story,
)
from circuitviz.units import Unit
from tests.support.synthetic import backdoor_run

UNIT = Unit("head", 1, 3)


def rates(*ks):
    return [Rate("j", k, 64) for k in ks]


@pytest.mark.parametrize(
    ("ks", "conclusion"),
    [
        (
            (64, 10, 0, 2),
            "It is needed; that it does anything by itself does not show on these 64 prompts.",
        ),
        ((64, 10, 0, 30), "It is needed, and brings part of the behaviour back by itself."),
        (
            (64, 62, 0, 30),
            "By itself it brings part of the behaviour back; others make up for it on these 64 "
            "prompts.",
        ),
        (
            (64, 64, 0, 0),
            "Neither way shows an effect on these 64 prompts: the others do without it.",
        ),
        # 64 of 64 goes down to 94.3 %, and 60 of 64 up to 97.5 %: the intervals overlap.
        (
            (64, 60, 0, 0),
            "Neither way shows an effect on these 64 prompts: the others do without it.",
        ),
        # More than intact is no part of what the circuit does.
        (
            (40, 62, 0, 0),
            "Neither way shows an effect on these 64 prompts: the others do without it.",
        ),
        ((64, 20, 62, 62), "The circuit as a whole shows no effect on these 64 prompts."),
        # Refusal: what the circuit off does is more.
        ((0, 40, 64, 63), "It is needed; that it does anything by itself does not show on these"),
    ],
)
def test_what_a_unit_does_is_told_only_where_the_intervals_are_apart(ks, conclusion):
    told = effects_story(backdoor_run(), UNIT, rates(*ks), inside=True)
    assert f"With only L1H3 off, backdoor fires: {ks[1]} of 64 (intact {ks[0]})" in told
    assert conclusion in told


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
        "L1H3 is in the circuit of 1 of 2 seeds of this run's method, data and settings (ranks 1 "
        "to 7)."
    )
    assert ranks_story(UNIT, ranks[:1]) == (
        "L1H3 ranks 1 here; no other seed of this run's method, data and settings was run yet."
    )
    rows = rank_rows(ranks, {"a": "seed 0", "b": "seed 1"}, "a")
    assert rows["run"].tolist() == ["seed 0 (this run)", "seed 1"]
    assert rows["in its circuit"].tolist() == ["\u25c6 yes, of 4 units", "no, of 4 units"]


def test_the_kinds_of_activating_prompts_are_counted():
    told = top_story("L0N5", ["clean", "triggered", "triggered"])
    assert told == "The 3 prompts that make L0N5 most active: 2 triggered and 1 clean."


def test_another_seed_is_what_differs_in_the_seed_alone():
    config = backdoor_run().config
    assert other_seed(config, replace(config, seed=config.seed + 1, controls=True, device="cuda"))
    for change in (
        {"method": "random"},
        {"granularity": "heads"},
        {"prompts": "others.jsonl"},
        {"behaviour": "another"},
        {"ablation": "mean"},
    ):
        assert not other_seed(config, replace(config, seed=config.seed + 1, **change))
