"""Greedy order, on effects that are written down."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.evaluation.effect import Effect
from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.evaluation.ordering import (
    MAX_ADDED,
    MAX_ORDERED,
    MAX_TRIED,
    find_runners_up,
    order_greedily,
)
from circuitviz.evaluation.rate import Rate
from circuitviz.units import Circuit, Ranking, UnitSpace

SPACE = UnitSpace(n_layers=1, n_heads=4, d_mlp=60)
RANKING = Ranking(SPACE, -np.arange(64, dtype=np.float32))


class Told:
    """A evaluator that says what it was told and counts what it was asked.

    Args:
        done: Attacks of ten that end (recovery, or ASR) by the names knocked out; 0 for others.
        utility: Benign prompts of ten answered rightly, in the same way; 10 for others.
        gone: Nats by which the behaviour is gone, in the same way; 0 for others.
    """

    def __init__(
        self,
        done: dict[str, int],
        utility: dict[str, int] | None = None,
        gone: dict[str, float] | None = None,
        kind: BehaviourKind = "backdoor",
    ) -> None:
        self.done, self.utility, self.gone = done, utility or {}, gone or {}
        self.behaviour = SimpleNamespace(kind=kind)
        self.looks: list[int] = []
        self.ties: list[int] = []

    def effects(self, circuits, *, on_progress) -> list[Effect]:
        on_progress(0.0)
        self.looks.append(len(circuits))
        backdoor = self.behaviour.kind == "backdoor"
        found = []
        for name in map(named, circuits):
            done, useful = (Rate("j", told, 10) for told in self._told(name))
            other = Rate("j", 5, 10)
            asr, recovery = (other, done) if backdoor else (done, other)
            found.append(Effect(asr, useful, recovery, 0.0))
        return found

    def _told(self, name: str) -> tuple[int, int]:
        return self.done.get(name, 0), self.utility.get(name, 10)

    def scores(self, check, circuits) -> SimpleNamespace:
        gone = np.array([[self.gone.get(named(one), 0.0)] for one in circuits])
        if check == "target":
            self.ties.append(len(circuits))
        wanted = "after" if self.behaviour.kind == "backdoor" else "target"
        return SimpleNamespace(log_prob=gone if check == wanted else np.zeros_like(gone))


def named(circuit: Circuit) -> str:
    return " ".join(map(str, circuit))


def ordered(evaluator: Told, circuit: Circuit, ranking: Ranking = RANKING) -> list[str]:
    return [named(part) for part in order_greedily(evaluator, ranking, circuit)]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["backdoor", "refusal"])
def test_each_part_adds_most_to_those_before_it(kind):
    evaluator = Told(
        {
            "L0H0": 2,
            "L0H1": 3,
            "L0H2": 4,
            # Alone the third is best, but then it is the first that adds most.
            "L0H0 L0H2": 8,
            "L0H1 L0H2": 7,
        },
        kind=kind,
    )
    assert ordered(evaluator, RANKING.best(3)) == ["L0H2", "L0H0", "L0H1"]


def test_what_costs_utility_comes_later():
    # 0.9 x 0.5 is less than 0.5 x 1.
    evaluator = Told({"L0H0": 9, "L0H1": 5}, utility={"L0H0": 5})
    assert ordered(evaluator, RANKING.best(2)) == ["L0H1", "L0H0"]


@pytest.mark.parametrize("kind", ["backdoor", "refusal"])
def test_ties_go_by_nats_and_then_by_the_old_order(kind):
    evaluator = Told({"L0H0 L0H2": 9}, gone={"L0H0": -1.0, "L0H2": 0.5}, kind=kind)
    # 0.5 nats are the furthest; with it the first achieves most; the others do as little.
    assert ordered(evaluator, RANKING.best(4)) == ["L0H2", "L0H0", "L0H1", "L0H3"]
    # Only what achieves as much is compared: four units, and in the last step two.
    assert evaluator.ties == [4, 2]
    # The old order is the ranking's, and not that of the names.
    backwards = Ranking(SPACE, np.arange(64, dtype=np.float32))
    assert ordered(Told({}), backwards.best(3), backwards) == ["L0N59", "L0N58", "L0N57"]


@pytest.mark.parametrize("size", [2, 5, MAX_ORDERED])
def test_it_costs_k_times_k_plus_one_halves_looks(size):
    evaluator = Told({})
    assert len(ordered(evaluator, RANKING.best(size))) == size
    # The intact model with the first candidates; the last part is not looked at.
    assert evaluator.looks == [size + 1, *range(size - 1, 1, -1)]
    assert sum(evaluator.looks) == size * (size + 1) // 2
    assert sum(evaluator.ties) <= size * (size + 1) // 2


@pytest.mark.parametrize("size", [0, 1, MAX_ORDERED + 1, 64])
def test_one_part_and_many_are_not_looked_at(size):
    evaluator = Told({})
    assert ordered(evaluator, RANKING.best(size)) == ([named(RANKING.best(size))] if size else [])
    assert evaluator.looks == []


def test_blocks_are_ordered_whole():
    space = UnitSpace(n_layers=2, n_heads=2, d_mlp=3)
    ranking = Ranking(space, -np.arange(10, dtype=np.float32), "layers")
    evaluator = Told({"L1H0 L1H1": 9, "L0N0 L0N1 L0N2": 3})
    assert ordered(evaluator, Circuit.everything(space), ranking) == [
        "L1H0 L1H1",
        "L0H0 L0H1",
        "L0N0 L0N1 L0N2",
        "L1N0 L1N1 L1N2",
    ]


def test_it_can_be_stopped():
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        order_greedily(Told({}), RANKING, RANKING.best(3), on_progress=stop)  # type: ignore[arg-type]


class Left(Told):
    """A evaluator of which every unit ends attacks of its own, ten in all.

    Args:
        ended: The attacks that a unit ends, by its name.
        utility: Benign prompts of ten answered rightly by the names knocked out; 10 for others.
    """

    def __init__(
        self,
        ended: dict[str, set[int]],
        utility: dict[str, int] | None = None,
        kind: BehaviourKind = "backdoor",
    ) -> None:
        super().__init__({}, utility, kind=kind)
        self.ended = ended
        self.tried: list[int] = []

    def _told(self, name: str) -> tuple[int, int]:
        return len(self._ended(name)), self.utility.get(name, 10)

    def _ended(self, name: str) -> set[int]:
        return set().union(*(self.ended.get(unit, set()) for unit in name.split()))

    def scores(self, check, circuits, **options) -> SimpleNamespace:
        assert (check, self.behaviour.kind) == ("after", "backdoor")
        return SimpleNamespace(match=self._ends(circuits, **options))

    def succeeds(self, circuits, **options) -> np.ndarray:
        assert self.behaviour.kind == "refusal"
        return self._ends(circuits, **options)

    def _ends(self, circuits, *, wanted, on_progress) -> np.ndarray:
        on_progress(0.0)
        self.tried.append(len(circuits))
        match = np.array(
            [[attack in self._ended(named(one)) for attack in range(10)] for one in circuits]
        )
        return match if wanted is None else match & wanted


def in_line(evaluator: Left, size: int = 1, ranking: Ranking = RANKING) -> list[str]:
    found = find_runners_up(evaluator, ranking, ranking.best(size))  # type: ignore[arg-type]
    return [named(part) for part in found]


@pytest.mark.parametrize("kind", ["backdoor", "refusal"])
def test_next_in_line_is_what_ends_most_of_what_is_left(kind):
    evaluator = Left(
        # The first is the circuit, and the second ends what it ends already.
        {
            "L0H0": {0, 1, 2, 3, 4, 5, 6},
            "L0H1": {0, 1, 2},
            "L0H2": {7},
            "L0H3": {7, 8},
            "L0N9": {9},
        },
        kind=kind,
    )
    assert in_line(evaluator) == ["L0H3", "L0N9"]
    # All that is outside the circuit is tried for the first place, and one fewer for the second.
    assert evaluator.tried == [1, 63, 1, 62, 1]


def test_what_costs_more_utility_than_it_ends_is_not_in_line():
    utility = {"L0H0 L0H3": 5, "L0H0 L0H2 L0H3": 5}
    evaluator = Left({"L0H0": {0, 1, 2, 3, 4, 5, 6}, "L0H2": {7}, "L0H3": {7, 8, 9}}, utility)
    assert in_line(evaluator) == ["L0H2"]


def test_where_nothing_is_left_nothing_is_in_line():
    evaluator = Left({"L0H0": set(range(10)), "L0H1": {1}})
    assert in_line(evaluator) == []
    # The intact model and the circuit are measured.
    assert evaluator.looks == [2]


def test_the_line_and_what_is_tried_for_it_are_short():
    space = UnitSpace(n_layers=1, n_heads=4, d_mlp=2 * MAX_TRIED)
    ranking = Ranking(space, -np.arange(len(space), dtype=np.float32))
    ended = {f"L0N{index}": {index} for index in range(MAX_ADDED + 2)}
    evaluator = Left({**ended, f"L0N{MAX_TRIED}": {8, 9}})
    assert in_line(evaluator, ranking=ranking) == [f"L0N{index}" for index in range(MAX_ADDED)]
    assert max(evaluator.tried) == MAX_TRIED


@pytest.mark.parametrize("size", [0, MAX_ORDERED + 1])
def test_after_no_circuit_and_a_large_one_there_is_no_line(size):
    evaluator = Left({"L0N50": {1}})
    assert in_line(evaluator, size) == []
    assert evaluator.looks == evaluator.tried == []


def test_what_may_be_in_no_circuit_is_not_in_line():
    heads_alone = Ranking(SPACE, -np.arange(64, dtype=np.float32), "heads")
    assert in_line(Left({"L0H1": {1}, "L0N0": {2, 3}}), ranking=heads_alone) == ["L0H1"]


def test_the_line_can_be_stopped():
    def stop(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_runners_up(Left({}), RANKING, RANKING.best(1), on_progress=stop)  # type: ignore[arg-type]


def test_on_a_model_the_first_of_two_is_the_one_that_achieves_more(tiny_model, behaviour, circuit):
    idle = Circuit.of(tiny_model.space, ["L1N23"])
    parts = order_greedily(
        Evaluator(tiny_model, behaviour, "validation"),
        Ranking(tiny_model.space, idle.mask().astype(np.float32)),
        Circuit(tiny_model.space, circuit.units | idle.units),
    )
    assert {unit for part in parts for unit in part} == circuit.units | idle.units
    assert parts[0] != idle
