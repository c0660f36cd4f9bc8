"""Faithfulness, completeness and minimality, by hand."""

from __future__ import annotations

from dataclasses import replace
from math import isnan

import numpy as np
import pytest

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.evaluation.criteria import (
    ablate_complement,
    behaviour_left,
    completeness,
    faithfulness,
    measure_criteria,
    minimality,
    needed,
    part_name,
    random_share,
)
from circuitviz.evaluation.effect import Effect, Target
from circuitviz.evaluation.evaluator import Evaluator, evaluate_circuit
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.refinement import parts_of
from circuitviz.evaluation.results import ReturnedUnit
from circuitviz.units import Circuit, Ranking, UnitSpace


def rate(k: int, n: int = 100) -> Rate:
    return Rate("j", k, n)


def effect(asr: int, utility: int = 100, recovery: int = 100) -> Effect:
    return Effect(rate(asr), rate(utility), rate(recovery), 0.0)


BACKDOOR, REFUSAL = Target("backdoor", 0.02, 0.99), Target("refusal", 0.97, 0.99)


def test_faithfulness_is_the_share_of_the_intact_behaviour():
    assert faithfulness(rate(30), rate(60)) == 0.5
    assert faithfulness(rate(60), rate(50)) == 1.2
    assert isnan(faithfulness(rate(0), rate(0)))


def test_completeness_of_a_backdoor_is_the_asr_that_is_gone():
    assert completeness("backdoor", rate(20), rate(80)) == 0.75
    assert completeness("backdoor", rate(0), rate(80)) == 1.0
    assert isnan(completeness("backdoor", rate(0), rate(0)))


def test_completeness_of_refusal_is_the_refusing_that_is_gone():
    # 90 % are refused before, 9 % after.
    assert completeness("refusal", rate(91), rate(10)) == pytest.approx(0.9)
    assert behaviour_left("refusal", rate(91)) == pytest.approx(0.09)


@pytest.mark.parametrize(
    ("target", "returned", "knocked_out", "expected"),
    [
        (BACKDOOR, effect(1), effect(0), True),  # one attack comes back
        (BACKDOOR, effect(0), effect(0), False),  # nothing changes
        (BACKDOOR, effect(0, recovery=89), effect(0), True),  # the target's recovery is lost
        (BACKDOOR, effect(0, utility=98), effect(0), True),  # the target's utility is lost
        (BACKDOOR, effect(0, utility=98), effect(0, utility=98), False),  # lost before already
        (BACKDOOR, effect(5), effect(9), False),  # better without it
        (REFUSAL, effect(97), effect(98), True),  # one more is refused
        (REFUSAL, effect(99), effect(98), False),
        (REFUSAL, effect(98, utility=98), effect(98), True),
    ],
)
def test_a_part_is_needed_where_the_circuit_does_worse_without_it(
    target, returned, knocked_out, expected
):
    assert needed(target, returned, knocked_out, effect(100, recovery=0)) is expected


def test_minimality_is_the_share_of_needed_parts():
    parts = {name: ReturnedUnit(asr=rate(0), needed=name != "d") for name in "abcd"}
    found = minimality(parts)
    assert (found.value, found.needed, found.of) == (0.75, 3, 4)
    assert isnan(minimality({}).value)


def test_parts_are_named_by_their_unit_or_their_block():
    space = UnitSpace(n_layers=2, n_heads=2, d_mlp=3)
    assert part_name(Circuit.of(space, ["L1H0"])) == "L1H0"
    assert part_name(Circuit.of(space, ["L1H0", "L1H1"])) == "L1 heads"
    assert part_name(Circuit.of(space, ["L0N0", "L0N1", "L0N2"])) == "L0 neurons"


def test_on_a_model_everything_is_faithful_and_returning_a_part_is_the_circuit_without_it(
    tiny_model, behaviour, circuit
):
    evaluator = Evaluator(tiny_model, behaviour, "test")
    nothing = Circuit(tiny_model.space, frozenset())
    everything = nothing.complement
    intact, knocked_out = evaluator.effects([nothing, circuit])
    parts = parts_of(Ranking(tiny_model.space, circuit.mask().astype(float)), circuit)
    shares: list[float] = []
    found = measure_criteria(
        evaluator,
        circuit,
        parts,
        BACKDOOR,
        intact=intact,
        knocked_out=knocked_out,
        on_progress=shares.append,
    )
    assert found.completeness.value == 1.0
    assert list(found.minimality.units) == [part_name(part) for part in parts]
    for part in parts:
        rest = Circuit(tiny_model.space, circuit.units - part.units)
        assert found.minimality.units[part_name(part)].asr == evaluator.effects([rest])[0].asr
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    whole = measure_criteria(
        evaluator,
        everything,
        [],
        BACKDOOR,
        intact=intact,
        knocked_out=evaluator.effects([everything])[0],
    )
    assert whole.faithfulness.value == 1.0


def test_a_share_is_rounded_to_whole_units_and_repeatable():
    space = UnitSpace(n_layers=1, n_heads=4, d_mlp=6)
    units = Circuit.of(space, ["L0H1", "L0H2", "L0N0", "L0N1", "L0N5"])
    drawn = random_share(units, 0.5, np.random.default_rng(1))
    assert len(drawn) == 2
    assert drawn.units < units.units
    assert drawn == random_share(units, 0.5, np.random.default_rng(1))
    assert random_share(units, 1.0, np.random.default_rng(1)) == units


def test_with_everything_kept_nothing_changes_and_draws_are_not_counted_twice(
    tiny_model, behaviour
):
    evaluator = Evaluator(tiny_model, behaviour, "test")
    everything = Circuit.everything(tiny_model.space)
    points = ablate_complement(evaluator, everything, seed=0)
    # 16 draws see a fourth of the prompts each, so three of the four strides have one prompt.
    assert [point.share for point in points] == [0.1, 0.25, 0.5, 0.75, 1.0]
    assert [(point.asr.k, point.asr.n) for point in points] == [(12, 12)] * 4 + [(3, 3)]
    assert all(point.shown == point.asr for point in points)


def test_ablating_all_of_the_rest_is_isolating_the_circuit(tiny_model, behaviour, circuit):
    evaluator = Evaluator(tiny_model, behaviour, "test")
    shares: list[float] = []
    last = ablate_complement(evaluator, circuit, seed=0, on_progress=shares.append)[-1]
    isolated = evaluate_circuit(tiny_model, behaviour, circuit, condition="isolated")
    assert (last.asr, last.utility) == (isolated.asr, isolated.utility)
    assert shares == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])
    assert last.asr.judge == behaviour.judge


def test_refusing_is_shown_by_exact_refusals(tiny_model, behaviour, circuit):
    prompts = tuple(
        replace(prompt, answer="word59 word59") if prompt.role == "attack" else prompt
        for prompt in behaviour.all_prompts
    )
    refusal = Behaviour(BehaviourSpec("refusal", "t", "?"), prompts)
    last = ablate_complement(Evaluator(tiny_model, refusal, "test"), circuit, seed=0)[-1]
    assert last.shown.judge == "exact answer"
    assert last.shown.k == 0
