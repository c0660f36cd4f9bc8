"""Looking at few prompts gives the same answer as looking at all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from circuitviz.evaluation import refinement
from circuitviz.evaluation.evaluator import Effect, Evaluator, Verdicts
from circuitviz.evaluation.refinement import TargetCheck
from circuitviz.evaluation.selection import Target
from circuitviz.units import Circuit, UnitSpace

SPACE = UnitSpace(n_layers=1, n_heads=4, d_mlp=60)
NOTHING = Circuit(SPACE, frozenset())
ATTACKS, BENIGN, TOKENS = 40, 20, 7


class TableEvaluator:
    """A evaluator that looks verdicts up: [prompts] by question and number of units."""

    model = SimpleNamespace(space=SPACE)
    behaviour = SimpleNamespace(judge="j")
    attacks = [None] * ATTACKS
    benign = [None] * BENIGN

    def __init__(self, tables: dict[int, Verdicts]) -> None:
        self.tables = tables
        self.leads: list[tuple[str, float]] = []

    def rows(self, question: str) -> Any:
        count = BENIGN if question == "benign" else ATTACKS
        return SimpleNamespace(lengths=torch.full((count,), TOKENS))

    def matches(self, question, circuits, *, lead, wanted, on_progress) -> np.ndarray:
        on_progress(0.0)
        self.leads.append((question, lead))
        table = self.tables[len(circuits[0])]
        found = {"target": table.asr, "after": table.recovery, "benign": table.utility}[question]
        return found[None] & wanted


def verdicts(asr: float, recovery: float, utility: float, seed: int) -> Verdicts:
    draw = np.random.default_rng(seed)
    return Verdicts(
        draw.random(ATTACKS) < asr, draw.random(ATTACKS) < recovery, draw.random(BENIGN) < utility
    )


INTACT = Verdicts(np.ones(ATTACKS, bool), np.zeros(ATTACKS, bool), np.arange(BENIGN) > 0)


@pytest.mark.parametrize(
    "target",
    [
        Target("backdoor", 0.05, 0.9),
        Target("backdoor", 0.0, 0.0),
        Target("refusal", 0.95, 0.9),
        Target("refusal", 0.5, 1.0),
    ],
)
def test_the_answer_is_that_of_all_prompts(target, monkeypatch):
    monkeypatch.setattr(refinement, "FIRST_PROMPTS", 5)
    good = 0.02 if target.kind == "backdoor" else 0.97
    tables = {size: verdicts(good, 0.95, 0.93, size) for size in range(1, 60)}
    evaluator: Any = TableEvaluator({0: INTACT, **tables})
    check = TargetCheck(evaluator, target)
    intact = Effect.of(INTACT, judge="j")
    found, expected = [], []
    for size, table in tables.items():
        found.append(check.meets(Circuit(SPACE, frozenset(list(SPACE)[:size]))))
        expected.append(target.met(Effect.of(table, judge="j"), intact))
    assert found == expected
    assert {True, False} == set(expected)
    assert {lead for question, lead in evaluator.leads if question == "target"} == {target.caution}
    assert {lead for question, lead in evaluator.leads if question != "target"} == {0.0}


def test_a_circuit_is_refused_on_the_prompts_that_told_the_last_one(monkeypatch):
    monkeypatch.setattr(refinement, "FIRST_PROMPTS", 2)
    bad = Verdicts(np.arange(ATTACKS) >= 38, np.ones(ATTACKS, bool), np.ones(BENIGN, bool))
    check = TargetCheck(TableEvaluator({0: INTACT, 1: bad}), Target("backdoor", 0.0, 0.9))  # type: ignore[arg-type]
    circuit = Circuit.of(SPACE, ["L0H0"])
    spent = [check.tokens]
    for _ in range(2):
        assert not check.meets(circuit)
        spent.append(check.tokens)
    # At first all attacks have to be looked at, then the two that gave it away.
    assert np.diff(spent).tolist() == [ATTACKS * TOKENS, 2 * TOKENS]
    assert spent[0] == BENIGN * TOKENS


def test_a_model_that_answers_nothing_rightly_has_no_utility_to_keep():
    none = Verdicts(INTACT.asr, INTACT.recovery, np.zeros(BENIGN, bool))
    cured = Verdicts(~INTACT.asr, ~INTACT.recovery, np.zeros(BENIGN, bool))
    check = TargetCheck(TableEvaluator({0: none, 1: cured}), Target("backdoor", 1.0, 0.0))  # type: ignore[arg-type]
    assert not check.meets(Circuit.of(SPACE, ["L0H0"]))


def test_checking_a_model_can_be_stopped(tiny_model, behaviour):
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    evaluator = Evaluator(tiny_model, behaviour, "validation")
    with pytest.raises(KeyboardInterrupt):
        TargetCheck(evaluator, Target("backdoor", 0.0, 0.9), on_progress=stop)
