"""Backward elimination: what is left is what is needed, and the ranking says so."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from circuitviz.evaluation import refinement
from circuitviz.evaluation.effect import Effect, PromptVerdicts, Target
from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.evaluation.refinement import (
    TargetCheck,
    eliminate,
    order_parts,
    parts_of,
    refine,
    refine_selection,
    rerank,
)
from circuitviz.evaluation.selection import Selection
from circuitviz.units import Circuit, Ranking, UnitSpace

SPACE = UnitSpace(n_layers=1, n_heads=4, d_mlp=60)
RANKING = Ranking(SPACE, -np.arange(64, dtype=np.float32))


class Needs:
    """Meets the target with these units; every look costs ten tokens."""

    def __init__(self, *needed: str) -> None:
        self.tokens = 0
        self.needed = Circuit.of(SPACE, needed).units

    def meets(self, circuit: Circuit) -> bool:
        self.tokens += 10
        return self.needed <= circuit.units


@pytest.mark.parametrize("size", [1, 2, 3, 7, 33, 64])
def test_the_needed_units_are_recovered(size):
    circuit = RANKING.best(size)
    needed = [str(RANKING.space.unit(i)) for i in {0, size // 2, size - 1}]
    found = refine(Needs(*needed), circuit, parts_of(RANKING, circuit))
    assert found.circuit == Circuit.of(SPACE, needed)
    assert found.complete
    assert set(found.dropped) == circuit.units - found.circuit.units


def test_chunks_go_at_once():
    check = Needs("L0H0")
    refine(check, RANKING.best(64), parts_of(RANKING, RANKING.best(64)))
    # Of each size, 32, 16, 8, 4, 2 and 1, one chunk goes and one comes back.
    assert check.tokens == 12 * 10


def test_every_single_unit_left_is_needed_where_units_stand_in_for_each_other():
    # Any two of five suffice, so a unit is needed only once the others are gone.
    def suffices(kept: Sequence[int]) -> bool:
        return len(kept) >= 2

    # 1 2 go; 3 4 come back; 5 goes; 3 comes back; 4 comes back.
    assert eliminate([1, 2, 3, 4, 5], suffices) == ([3, 4], 3, True)


def test_what_was_needed_before_a_drop_is_tried_again_after_it():
    # 1 can go once 2 is gone, and not before: a single sweep would keep it.
    def suffices(kept: Sequence[int]) -> bool:
        return 3 in kept and (1 in kept or 2 not in kept)

    assert eliminate([1, 2, 3], suffices)[0] == [3]


def test_elimination_stops_at_its_budget_with_what_it_has():
    check = Needs("L0H0", "L0H3")
    circuit = RANKING.best(4)
    # Two pairs and the first head come back, the second head goes.
    found = refine(check, circuit, parts_of(RANKING, circuit), spent=60, budget=100)
    assert found.circuit == Circuit.of(SPACE, ["L0H0", "L0H2", "L0H3"])
    assert found.result.to_json() == {
        "before": 4,
        "after": 3,
        "dropped": ["L0H1"],
        "restored": 3,
        "complete": False,
        "note": "stopped at its budget: further units may not be needed",
        "next": [],
    }


def test_blocks_are_left_out_whole():
    space = UnitSpace(n_layers=2, n_heads=2, d_mlp=3)
    ranking = Ranking(space, np.arange(10, dtype=np.float32), "layers")
    circuit = Circuit.of(space, ["L0H0", "L0H1", "L1N0", "L1N1", "L1N2"])
    assert [len(part) for part in parts_of(ranking, circuit)] == [2, 3]


def test_the_kept_come_first_then_the_dropped_then_the_rest_all_in_their_old_order():
    space = UnitSpace(n_layers=1, n_heads=2, d_mlp=4)
    # Old order by flat index: 3, 0, 5, 1, 2, 4.
    ranking = Ranking(space, np.array([5.0, 3.0, 2.0, 6.0, 1.0, 4.0], dtype=np.float32))
    kept = Circuit.of(space, ["L0H1", "L0N3"])  # flat 1 and 5
    (dropped,) = Circuit.of(space, ["L0N1"])  # flat 3
    found = rerank(ranking, [kept], [dropped])
    assert found.order.tolist() == [5, 1, 3, 0, 2, 4]
    assert sorted(found.scores) == sorted(ranking.scores)
    assert found.best(2) == kept


def test_the_parts_stand_in_the_order_given():
    space = UnitSpace(n_layers=2, n_heads=2, d_mlp=1)
    parts = [Circuit.of(space, names) for names in (["L1H0"], ["L0H0", "L0H1"])]
    # Old order by flat index, the layers' heads and then their neurons: 0 to 5.
    found = rerank(Ranking(space, -np.arange(6, dtype=np.float32)), parts, [space.unit(5)])
    assert found.order.tolist() == [2, 0, 1, 5, 3, 4]


def test_equal_scores_do_not_undo_the_new_order():
    space = UnitSpace(n_layers=1, n_heads=2, d_mlp=4)
    ranking = Ranking(space, np.zeros(6, dtype=np.float32))
    kept = Circuit.of(space, ["L0N3", "L0N0"])
    found = rerank(ranking, [kept], [*Circuit.of(space, ["L0N2"])])
    assert found.order.tolist() == [2, 5, 4, 0, 1, 3]
    assert found.scores.dtype == np.float32
    assert found.scores.max() < 1e-40


def test_everything_can_be_promoted():
    everything = Circuit.everything(SPACE)
    assert rerank(RANKING, [everything]).order.tolist() == RANKING.order.tolist()


def test_units_outside_the_granularity_stay_last():
    space = UnitSpace(n_layers=1, n_heads=3, d_mlp=2)
    ranking = Ranking(space, np.array([3.0, 4.0, 5.0, 9.0, 8.0], dtype=np.float32), "heads")
    found = rerank(ranking, [Circuit.of(space, ["L0H0"])])
    assert found.order.tolist() == [0, 2, 1, 3, 4]
    assert found.cuts == [0, 1, 2, 3]


def test_the_least_needed_part_comes_first(tiny_model, behaviour, circuit):
    evaluator = Evaluator(tiny_model, behaviour, "validation")
    idle = Circuit.of(tiny_model.space, ["L1N23"])
    parts = [*parts_of(Ranking(tiny_model.space, np.zeros(56)), circuit), idle]
    ordered, tokens = order_parts(evaluator, parts, "backdoor")
    assert set(ordered) == set(parts)
    rows = [evaluator.rows(question) for question in ("target", "after")]
    assert tokens == 7 * sum(int(row.lengths.sum()) for row in rows)
    whole = Circuit(tiny_model.space, circuit.units | idle.units)

    def need(part: Circuit) -> float:
        rest = Circuit(tiny_model.space, whole.units - part.units)
        target, after = (evaluator.scores(c, [rest]).log_prob for c in ("target", "after"))
        return float((target - after).mean())

    needs = [need(part) for part in ordered]
    assert needs == pytest.approx(sorted(needs), abs=1e-4)


def test_a_circuit_that_misses_its_target_is_left_as_it_is(tiny_model, behaviour, circuit):
    evaluator = Evaluator(tiny_model, behaviour, "validation")
    ranking = Ranking(tiny_model.space, np.where(circuit.mask(), 1.0, 0.0).astype(np.float32))
    target = Target("backdoor", asr=0.0, utility=0.99)
    found = refine_selection(evaluator, evaluator, ranking, Selection(circuit, False), target)
    assert (found.circuit, found.dropped, found.complete) == (circuit, (), False)
    assert found.note == "the circuit misses its target, so no drop can be verified"


def test_the_last_unit_stays_even_where_none_is_needed():
    found = refine(Needs(), RANKING.best(8), parts_of(RANKING, RANKING.best(8)))
    assert len(found.circuit) == 1


ATTACKS, BENIGN, TOKENS = 40, 20, 7


class TableEvaluator:
    """A evaluator that looks verdicts up: [prompts] by check and number of units."""

    model = SimpleNamespace(space=SPACE)
    judge_name = "j"
    attacks = [None] * ATTACKS
    benign = [None] * BENIGN

    def __init__(self, tables: dict[int, PromptVerdicts]) -> None:
        self.tables = tables
        self.leads: list[float] = []

    def rows(self, check: str) -> Any:
        count = BENIGN if check == "benign" else ATTACKS
        return SimpleNamespace(lengths=torch.full((count,), TOKENS))

    def succeeds(self, circuits, *, lead, wanted, on_progress) -> np.ndarray:
        self.leads.append(lead)
        return self.tables[len(circuits[0])].asr[None] & wanted

    def scores(self, check, circuits, *, wanted, on_progress) -> Any:
        table = self.tables[len(circuits[0])]
        verdicts = {"after": table.recovery, "benign": table.utility}[check]
        return SimpleNamespace(match=verdicts[None] & wanted)


def verdicts(asr: float, recovery: float, utility: float, seed: int) -> PromptVerdicts:
    draw = np.random.default_rng(seed)
    return PromptVerdicts(
        draw.random(ATTACKS) < asr, draw.random(ATTACKS) < recovery, draw.random(BENIGN) < utility
    )


INTACT = PromptVerdicts(np.ones(ATTACKS, bool), np.zeros(ATTACKS, bool), np.arange(BENIGN) > 0)


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
    assert set(evaluator.leads) == {target.caution}


def test_a_circuit_is_refused_on_the_prompts_that_told_the_last_one(monkeypatch):
    monkeypatch.setattr(refinement, "FIRST_PROMPTS", 2)
    bad = PromptVerdicts(np.arange(ATTACKS) >= 38, np.ones(ATTACKS, bool), np.ones(BENIGN, bool))
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
    none = PromptVerdicts(INTACT.asr, INTACT.recovery, np.zeros(BENIGN, bool))
    cured = PromptVerdicts(~INTACT.asr, ~INTACT.recovery, np.zeros(BENIGN, bool))
    check = TargetCheck(TableEvaluator({0: none, 1: cured}), Target("backdoor", 1.0, 0.0))  # type: ignore[arg-type]
    assert not check.meets(Circuit.of(SPACE, ["L0H0"]))


def test_checking_a_model_can_be_stopped(tiny_model, behaviour):
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    evaluator = Evaluator(tiny_model, behaviour, "validation")
    with pytest.raises(KeyboardInterrupt):
        TargetCheck(evaluator, Target("backdoor", 0.0, 0.9), on_progress=stop)
