"""What is measured of a circuit: the ends of the frontier, the grid, controls, single units."""

from __future__ import annotations

import numpy as np
import pytest

from circuitviz.evaluation.evaluator import evaluate_circuit
from circuitviz.evaluation.measurement import Measurement, measure_circuit
from circuitviz.models.ablation import ZERO
from circuitviz.units import Circuit, Ranking, Unit


@pytest.fixture(scope="module")
def shares() -> list[float]:
    return []


@pytest.fixture(scope="module")
def ranking(tiny_model, circuit) -> Ranking:
    # The circuit's own units first.
    return Ranking(tiny_model.space, circuit.mask().astype(np.float32))


@pytest.fixture(scope="module")
def measured(tiny_model, behaviour, circuit, ranking, shares) -> Measurement:
    return measure_circuit(
        tiny_model,
        behaviour,
        ranking,
        circuit,
        ablation=ZERO,
        seed=0,
        on_progress=shares.append,
    )


def test_the_frontier_runs_from_nothing_to_everything(measured, tiny_model):
    sizes = [len(circuit) for circuit, _ in measured.frontier]
    assert sizes == [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 56]
    assert measured.frontier[0][1] == measured.intact
    assert measured.intact.asr.k == 3


def test_the_reported_circuit_stands_on_the_frontier(
    measured, tiny_model, behaviour, circuit, ranking
):
    assert ranking.best(6) == circuit
    assert dict(measured.frontier)[circuit] == measured.knocked_out
    assert measured.knocked_out == evaluate_circuit(tiny_model, behaviour, circuit)
    alone = evaluate_circuit(tiny_model, behaviour, circuit, condition="isolated")
    assert measured.isolated == alone


def test_the_grid_has_every_pair_of_sizes(measured):
    pairs = [(len(circuit.heads), len(circuit.neurons)) for circuit, _ in measured.grid]
    assert pairs == [(h, n) for h in (0, 1, 2, 4, 8) for n in (0, 1, 2, 4, 8, 16, 32)]


def test_a_circuit_of_two_sizes_stands_once_and_on_all_prompts(tiny_model, behaviour, ranking):
    circuit = ranking.best_of_each(2, 4)
    found = measure_circuit(tiny_model, behaviour, ranking, circuit, ablation=ZERO, seed=0)
    assert [effect for one, effect in found.grid if one == circuit] == [found.knocked_out]
    assert len(found.grid) == 5 * 7
    assert circuit not in dict(found.frontier)


def test_random_circuits_are_counted_over_all_draws(measured):
    assert measured.random.draws == 8
    assert measured.random.asr.n == 8 * 3
    assert len(measured.random.asr_k) == 8
    assert sum(measured.random.asr_k) == measured.random.asr.k


def test_single_units_are_measured_each_alone(measured, tiny_model, behaviour, circuit):
    assert {unit for unit in measured.units if unit.kind == "head"} == {
        Unit("head", layer, head) for layer in range(2) for head in range(4)
    }
    assert circuit.units <= set(measured.units)
    unit = Unit("head", 0, 1)
    alone = evaluate_circuit(tiny_model, behaviour, Circuit(tiny_model.space, frozenset({unit})))
    assert measured.units[unit].asr == alone.asr


def test_progress_is_told_in_order(measured, shares):
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert 0.9 < shares[-1] < 1.0
