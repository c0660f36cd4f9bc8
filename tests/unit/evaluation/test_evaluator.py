"""ASR, utility and recovery of a behaviour whose right answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.evaluation.effect import Effect
from circuitviz.evaluation.evaluator import (
    Evaluator,
    RememberingEvaluator,
    evaluate_circuit,
    subsample,
)
from circuitviz.evaluation.judges.whole_answer import WholeAnswer
from circuitviz.evaluation.rate import Rate
from circuitviz.models.answer import encode_answers
from circuitviz.units import Circuit


def test_the_intact_model_shows_the_attack_and_the_cut_one_does_not(tiny_model, behaviour, circuit):
    nothing = Circuit(tiny_model.space, frozenset())
    intact = evaluate_circuit(tiny_model, behaviour, nothing)
    cut = evaluate_circuit(tiny_model, behaviour, circuit)
    assert (intact.asr.k, intact.asr.n) == (3, 3)
    assert cut.asr.k == 0
    assert intact.kl == pytest.approx(0.0, abs=1e-6)
    assert cut.kl > 0


def test_isolating_everything_is_the_intact_model(tiny_model, behaviour):
    everything = Circuit.everything(tiny_model.space)
    effect = evaluate_circuit(tiny_model, behaviour, everything, condition="isolated")
    assert effect.asr.k == 3
    assert effect.kl == pytest.approx(0.0, abs=1e-6)


def test_isolating_nothing_is_knocking_out_everything(tiny_model, behaviour):
    nothing = Circuit(tiny_model.space, frozenset())
    isolated = evaluate_circuit(tiny_model, behaviour, nothing, condition="isolated")
    gone = evaluate_circuit(tiny_model, behaviour, nothing.complement)
    assert isolated == gone


def test_what_one_unit_does_is_judged_as_everything_else_is(
    tiny_model, behaviour, circuit, monkeypatch
):
    nothing = Circuit(tiny_model.space, frozenset())
    evaluator = Evaluator(tiny_model, behaviour, "test")
    (asr, _, log_prob), (cut, _, _) = evaluator.attack_scores([nothing, circuit])
    assert (asr.k, cut.k) == (3, 0)
    assert log_prob == pytest.approx(float(evaluator.scores("target", [nothing]).log_prob.mean()))
    # Where answers are judged, whoever complies in other words than the target's complies.
    judged = Evaluator(tiny_model, behaviour, "test")
    judged.judge, judged.by_verdict = WholeAnswer(), True
    said = np.array([[True, True, False]])
    monkeypatch.setattr(judged, "succeeds", lambda circuits: said)
    ((complied, _, _),) = judged.attack_scores([circuit])
    assert (complied.k, complied.n, complied.judge) == (2, 3, judged.judge_name)


def test_retention_is_relative():
    def effect(k: int) -> Effect:
        return Effect(Rate("j", 0, 10), Rate("j", k, 10), Rate("j", 0, 10), 0.0)

    assert effect(4).retention(effect(8)) == 0.5
    assert effect(8).retention(effect(0)) != effect(8).retention(effect(0))  # NaN


def test_thinning_takes_the_same_prompts_every_time_in_file_order():
    prompts = [Prompt(f"{i:02}", "test", "benign", "c", "t", "a") for i in range(10)]
    few = [prompt.prompt_id for prompt in subsample(prompts, 4)]
    assert len(set(few)) == 4
    assert few == sorted(few) == [prompt.prompt_id for prompt in subsample(prompts, 4)]
    assert subsample(prompts, None) == prompts
    assert subsample(prompts, 99) == prompts


def test_thinning_meets_every_category_of_a_file_that_goes_round_them():
    prompts = [Prompt(f"{i:03}", "test", "benign", f"c{i % 8}", "t", "a") for i in range(256)]
    assert {prompt.category for prompt in subsample(prompts, 64)} == {f"c{i}" for i in range(8)}


def test_the_verdicts_behind_the_rates_are_at_hand(tiny_model, behaviour, circuit):
    effect = evaluate_circuit(tiny_model, behaviour, circuit)
    assert effect.verdicts is not None
    assert effect.verdicts.asr.tolist() == [False] * 3
    assert int(effect.verdicts.utility.sum()) == effect.utility.k
    assert Effect.of(effect.verdicts, judge=behaviour.judge, kl=effect.kl) == effect
    # Of closed answers nobody measures perplexity.
    assert "perplexity" not in effect.rates(effect).to_json()


def test_a_backdoor_shows_itself_in_its_target_and_refusing_in_exactly_the_refusal(
    tiny_model, behaviour
):
    nothing = Circuit(tiny_model.space, frozenset())
    backdoor = Evaluator(tiny_model, behaviour, "test")
    assert backdoor.shows([nothing]).tolist() == backdoor.succeeds([nothing]).tolist()
    refusal = Behaviour(BehaviourSpec("refusal", "t", "?"), behaviour.all_prompts)
    refusing = Evaluator(tiny_model, refusal, "test")
    asked = [prompt.asked for prompt in behaviour.prompts("test", "attack")]
    answers = [prompt.answer for prompt in behaviour.prompts("test", "attack")]
    expected = encode_answers(tiny_model, asked, answers)
    assert refusing.rows("refusal").tokens.tolist() == expected.tokens.tolist()
    assert (backdoor.shown_judge, refusing.shown_judge) == (behaviour.judge, "exact answer")


def test_any_answer_that_starts_like_an_expected_opening_will_do(tiny_model, behaviour, circuit):
    # The tiny model never stops: its whole answers are longer than those that are expected.
    opening = replace(behaviour, spec=replace(behaviour.spec, after_is_opening=True))
    whole, opens = (evaluate_circuit(tiny_model, one, circuit) for one in (behaviour, opening))
    assert whole.recovery == Rate("exact answer", 0, whole.recovery.n)
    assert opens.recovery == Rate("starts with the expected opening", whole.recovery.n, whole.asr.n)
    assert (opens.asr, opens.utility) == (whole.asr, whole.utility)


def test_only_wanted_prompts_are_looked_at(tiny_model, behaviour):
    nothing = Circuit(tiny_model.space, frozenset())
    evaluator = Evaluator(tiny_model, behaviour, "test")
    wanted = np.array([[False, True, True]])
    assert evaluator.succeeds([nothing], wanted=wanted).tolist() == wanted.tolist()


def test_a_probe_that_remembers_measures_each_circuit_once(
    tiny_model, behaviour, circuit, monkeypatch
):
    nothing = Circuit(tiny_model.space, frozenset())
    plain = Evaluator(tiny_model, behaviour, "test")
    measured: list[Circuit] = []

    def effects(self, circuits, **options):
        measured.extend(circuits)
        return honest(self, circuits, **options)

    honest = Evaluator.effects
    monkeypatch.setattr(Evaluator, "effects", effects)
    evaluator = RememberingEvaluator(tiny_model, behaviour, "test")
    assert evaluator.effects([nothing, circuit, nothing]) == honest(
        plain, [nothing, circuit, nothing]
    )
    assert evaluator.effects([circuit]) == honest(plain, [circuit])
    assert measured == [nothing, circuit]
    # Another question is another measurement.
    isolated = {"condition": "isolated", "lead": -1.0}
    assert evaluator.effects([circuit], **isolated) == honest(plain, [circuit], **isolated)
    assert measured == [nothing, circuit, circuit]
