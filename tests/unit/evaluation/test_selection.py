"""Choosing a size: the smallest that meets the target, or the best there is."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from circuitviz.errors import ConfigError
from circuitviz.evaluation.effect import Effect, Target
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.selection import (
    Selection,
    frontier_sizes,
    grid_circuits,
    grid_sizes,
    select_circuit,
)
from circuitviz.units import Circuit, Ranking, UnitSpace

SPACE = UnitSpace(n_layers=2, n_heads=4, d_mlp=60)
RANKING = Ranking(SPACE, -np.arange(len(SPACE), dtype=float))


def effect(asr: int, utility: int, recovery: int = 100) -> Effect:
    return Effect(Rate("j", asr, 100), Rate("j", utility, 100), Rate("j", recovery, 100), 0.0)


BACKDOOR, REFUSAL = Target("backdoor", 0.004, 0.99), Target("refusal", 0.97, 0.99)


def by_size(rule: Callable[[int], tuple[int, int]]) -> Callable:
    """A measurement of ASR and utility, in per cent, that only depends on the size."""
    return lambda circuits: [effect(*rule(len(circuit))) for circuit in circuits]


@pytest.mark.parametrize("needed", [1, 2, 5, 7, 13, 31, 100, 128])
def test_the_smallest_sufficient_size_is_found_between_the_sizes_tried(needed):
    measure = by_size(lambda size: (0 if size >= needed else 100, 100))
    assert select_circuit(measure, RANKING, BACKDOOR) == Selection(RANKING.best(needed), True)


@pytest.mark.parametrize("needed", [1, 4, 5, 63, 64, 65, 124, 125, 128])
def test_only_whole_blocks_are_tried_and_the_smallest_sufficient_number_found(needed):
    # Blocks in order: attention of 4 and 4, MLP of 60 and 60; so circuits of 4, 8, 68 and 128.
    ranking = Ranking(SPACE, RANKING.scores, "layers")
    tried: list[int] = []

    def rule(size: int) -> tuple[int, int]:
        tried.append(size)
        return 0 if size >= needed else 100, 100

    chosen = select_circuit(by_size(rule), ranking, BACKDOOR)
    assert len(chosen.circuit) == next(size for size in (4, 8, 68, 128) if size >= needed)
    assert set(tried) <= {0, 4, 8, 68, 128}


@pytest.mark.parametrize("needed", [1, 5, 8])
def test_a_circuit_of_heads_holds_no_neuron(needed):
    ranking = Ranking(SPACE, np.arange(len(SPACE), dtype=float), "heads")
    measure = by_size(lambda size: (0 if size >= needed else 100, 100))
    chosen = select_circuit(measure, ranking, BACKDOOR).circuit
    assert (len(chosen.heads), len(chosen.neurons)) == (needed, 0)


def test_separate_sizes_of_one_kind_are_refused():
    ranking = Ranking(SPACE, RANKING.scores, "heads")
    with pytest.raises(ConfigError, match="granularity both; got heads"):
        select_circuit(by_size(lambda size: (0, 100)), ranking, BACKDOOR, separate=True)


@pytest.mark.parametrize(
    ("target", "rule", "size", "reached"),
    [
        pytest.param(
            REFUSAL,
            lambda n: (98 if n >= 10 else 96, 100),
            10,
            True,
            id="refusal wants a high rate",
        ),
        pytest.param(
            BACKDOOR,
            lambda n: (0 if n >= 4 else 100, 50 if 0 < n < 12 else 100),
            12,
            True,
            id="what costs utility does not count",
        ),
        pytest.param(
            BACKDOOR, lambda n: (0 if n else 100, 80), 1, True, id="utility relative to the intact"
        ),
        pytest.param(
            BACKDOOR,
            lambda n: (0, 40) if n >= 64 else (30 if n >= 16 else 90, 100),
            16,
            False,
            id="unreachable: the best that keeps utility",
        ),
        pytest.param(
            # From 8 units on nothing more is won, and every larger circuit costs utility.
            Target("backdoor", 0.004, 0.999),
            lambda n: (100 if n < 8 else 5, max(0, 100 - n)),
            8,
            False,
            id="missed: the smallest of the best trade-offs",
        ),
        pytest.param(
            # Retention is NaN everywhere: ASR falls with the size, from 100 % to 50 %.
            BACKDOOR,
            lambda n: (100 - min(n, 50), 0),
            64,
            False,
            id="no utility to keep: the nearest to the target",
        ),
    ],
)
def test_the_size_that_is_chosen(target, rule, size, reached):
    chosen = select_circuit(by_size(rule), RANKING, target)
    assert (len(chosen.circuit), chosen.reached) == (size, reached)


def test_no_larger_circuit_is_tried_once_half_of_the_utility_is_lost():
    tried: list[int] = []

    def rule(size: int) -> tuple[int, int]:
        tried.append(size)
        return 100, 100 if size < 4 else 40

    select_circuit(by_size(rule), RANKING, BACKDOOR)
    assert max(tried) < 64


def test_separate_sizes_are_chosen_for_heads_and_neurons():
    def measure(circuits: Sequence[Circuit]) -> list[Effect]:
        enough = [len(c.heads) >= 2 and len(c.neurons) >= 3 for c in circuits]
        return [effect(0 if ok else 100, 100) for ok in enough]

    chosen = select_circuit(measure, RANKING, BACKDOOR, separate=True)
    assert (len(chosen.circuit.heads), len(chosen.circuit.neurons)) == (2, 3)
    assert chosen.reached


def test_a_backdoor_that_still_hijacks_every_answer_is_not_gone():
    assert BACKDOOR.met(effect(0, 100, 90), effect(100, 100, 0))
    assert not BACKDOOR.met(effect(0, 100, 89), effect(100, 100, 0))
    assert REFUSAL.met(effect(97, 100, 0), effect(0, 100, 0))


def test_whether_the_intact_model_shows_the_behaviour():
    shown = [[target.shown(effect(k, 100)) for k in (0, 100)] for target in (BACKDOOR, REFUSAL)]
    assert shown == [[False, True], [True, False]]


def test_near_misses_count_against_the_circuit():
    assert BACKDOOR.caution < 0 < REFUSAL.caution


def test_no_worse_than_an_effect_is_met_by_that_effect_and_by_nothing_worse():
    intact = effect(100, 80)
    # A backdoor's target of 40 %, beaten by far: 10 % ASR, 76 of 80 kept, 95 % recovered.
    own = effect(10, 76, 95)
    strict = Target("backdoor", 0.4, 0.9).no_worse_than(own, intact)
    assert (strict.asr, strict.utility, strict.recovery) == (0.1, 0.95, 0.95)
    assert strict.met(own, intact)
    assert not strict.met(effect(11, 76, 95), intact)
    assert not strict.met(effect(10, 75, 95), intact)
    assert not strict.met(effect(10, 76, 94), intact)
    refusal = Target("refusal", 0.9, 0.9).no_worse_than(effect(98, 80, 0), intact)
    assert refusal.met(effect(98, 80, 0), intact)
    assert not refusal.met(effect(97, 80, 0), intact)


def open_effect(asr: int, utility: float, perplexity: float, recovery: float = 0.9) -> Effect:
    return Effect(
        Rate("j", asr, 100),
        Rate("t", round(1000 * utility), 1000, 50.0),
        Rate("t", round(1000 * recovery), 1000, 50.0),
        0.0,
        perplexity=perplexity,
    )


def test_the_parts_of_the_target_that_are_missed_are_named():
    target, intact = BACKDOOR, open_effect(100, 1.0, 2.0)
    assert target.missed(open_effect(0, 0.995, 2.01), intact) == ()
    assert target.missed(open_effect(1, 0.98, 2.03, 0.89), intact) == (
        *("asr", "recovery", "utility", "perplexity"),
    )


def test_perplexity_may_grow_by_one_per_cent_and_the_text_that_grows_most_decides():
    intact = replace(open_effect(0, 1.0, 2.0), neutral_perplexity=10.0)
    fine = replace(open_effect(0, 1.0, 2.0), neutral_perplexity=10.1)
    worse = replace(open_effect(0, 1.0, 2.0), neutral_perplexity=10.2)
    assert fine.growth(intact) == pytest.approx(0.01)
    assert "perplexity" in BACKDOOR.missed(worse, intact)


def test_recovery_is_a_share_of_what_the_intact_model_reaches_without_the_trigger():
    intact = open_effect(100, 1.0, 2.0)
    target = Target("backdoor", 0.004, 0.99, ceiling=0.9)
    assert target.met(open_effect(0, 1.0, 2.0, recovery=0.82), intact)
    assert not target.met(open_effect(0, 1.0, 2.0, recovery=0.80), intact)


@pytest.mark.parametrize(("kept", "met"), [(60, True), (59, True), (58, False)])
def test_one_prompt_of_so_few_that_it_is_more_than_the_target_allows_decides_nothing(kept, met):
    def counted(utility: int) -> Effect:
        return Effect(Rate("j", 0, 60), Rate("j", utility, 60), Rate("j", 60, 60), 0.0)

    assert BACKDOOR.met(counted(kept), counted(60)) is met
    # Elimination may lose nothing that the whole circuit achieves.
    strict = BACKDOOR.no_worse_than(counted(60), counted(60))
    assert strict.met(counted(kept), counted(60)) is (kept == 60)


def flat_ranking(n_layers, n_heads, d_mlp, granularity="both") -> Ranking:
    space = UnitSpace(n_layers, n_heads, d_mlp)
    return Ranking(space, np.zeros(len(space)), granularity)


def test_sizes_are_dense_where_circuits_are_small_and_end_with_everything():
    assert frontier_sizes(flat_ranking(1, 4, 16)) == [1, 2, 3, 4, 6, 8, 12, 16, 20]
    sizes = frontier_sizes(flat_ranking(4, 8, 512))
    assert sizes[-3:] == [256, 1024, 2080]
    assert sizes == sorted(set(sizes))


def test_sizes_of_one_kind_end_with_all_of_that_kind():
    assert frontier_sizes(flat_ranking(4, 5, 100, "heads")) == [1, 2, 3, 4, 6, 8, 12, 16, 20]
    assert frontier_sizes(flat_ranking(1, 50, 7, "neurons")) == [1, 2, 3, 4, 6, 7]


def test_sizes_of_layers_are_whole_blocks():
    # Attention blocks of 3 first, as ties keep flat order, then MLP blocks of 10.
    assert frontier_sizes(flat_ranking(2, 3, 10, "layers")) == [3, 6, 16, 26]
    # 20 blocks: as many as 1, 2, 3, 4, 6, 8, 12, 16 and 20 of them.
    expected = [1, 2, 3, 4, 6, 8, 10 + 2 * 2, 10 + 6 * 2, 30]
    assert frontier_sizes(flat_ranking(10, 1, 2, "layers")) == expected


def test_the_grid_keeps_to_the_granularity():
    def make_up(granularity):
        ranking = flat_ranking(2, 3, 4, granularity)
        return [(len(one.heads), len(one.neurons)) for one in grid_circuits(ranking)]

    assert make_up("heads") == [(0, 0), (1, 0), (2, 0), (4, 0)]
    assert make_up("neurons") == [(0, 0), (0, 1), (0, 2), (0, 4), (0, 8)]
    assert make_up("layers") == [(h, n) for h in (0, 3, 6) for n in (0, 4, 8)]


def test_grid_sizes_are_powers_of_two_within_bounds():
    assert grid_sizes(32, 1000) == [0, 1, 2, 4, 8, 16, 32]
    assert grid_sizes(2048, 8) == [0, 1, 2, 4, 8]


def test_the_grid_pairs_the_best_heads_with_the_best_neurons():
    space = UnitSpace(n_layers=1, n_heads=2, d_mlp=4)
    ranking = Ranking(space, np.array([0.0, 5.0, 1.0, 2.0, 3.0, 4.0]))
    circuits = grid_circuits(ranking)
    assert len(circuits) == 3 * 4
    assert circuits[0] == Circuit(space, frozenset())
    assert circuits[5] == Circuit.of(space, ["L0H1", "L0N3"])
    assert circuits[-1] == Circuit.everything(space)
