"""Circuit kept, a growing share of the rest ablated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.evaluation.evaluator import Evaluator, evaluate_circuit
from circuitviz.evaluation.stochastic import ablate_complement, random_share
from circuitviz.units import Circuit, UnitSpace


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
    data = last.to_json()
    assert list(data) == ["share", "asr", "random_asr", "shown", "random_shown", "utility"]
    assert data["asr"]["judge"] == behaviour.judge


def test_refusing_is_shown_by_exact_refusals(tiny_model, behaviour, circuit):
    prompts = tuple(
        replace(prompt, answer="word59 word59") if prompt.role == "attack" else prompt
        for prompt in behaviour.all_prompts
    )
    refusal = Behaviour(BehaviourSpec("refusal", "t", "?"), prompts)
    last = ablate_complement(Evaluator(tiny_model, refusal, "test"), circuit, seed=0)[-1]
    assert last.shown.judge == "exact answer"
    assert last.shown.k == 0
