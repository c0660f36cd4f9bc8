"""What a discovery measured, as a run keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from pathlib import Path

import pandas as pd

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.evaluation.effect import Effect
from circuitviz.evaluation.evaluator import Condition
from circuitviz.evaluation.measurement import Measurement
from circuitviz.evaluation.results import (
    Alternative,
    BeforeAfter,
    FrontierPoint,
    Growth,
    IsolatedRates,
    Measured,
    PairedTests,
    Perplexities,
    ReportedCircuit,
    TruthScores,
)
from circuitviz.evaluation.statistics import mcnemar, paired_difference
from circuitviz.evaluation.truth import (
    achieved,
    frontier_area,
    read_truth,
    score_against_truth,
)
from circuitviz.runs.store import FRONTIER_COLUMNS
from circuitviz.units import Circuit, Ranking


def measured_results(circuit: Circuit, measured: Measurement) -> Measured:
    """The headline numbers, the frontier and the effects of single units."""
    intact, knocked_out, isolated = measured.intact, measured.knocked_out, measured.isolated
    is_open = not isnan(intact.perplexity)
    return Measured.composed(
        n_units=len(circuit.space),
        n_heads=circuit.space.total_heads,
        n_neurons=circuit.space.total_neurons,
        circuit=ReportedCircuit.measured(circuit, units=[str(unit) for unit in circuit]),
        asr=BeforeAfter(intact=intact.asr, knocked_out=knocked_out.asr),
        utility=BeforeAfter(intact=intact.utility, knocked_out=knocked_out.utility),
        recovery=knocked_out.recovery,
        utility_retention=knocked_out.retention(intact),
        kl=knocked_out.kl,
        frontier=[
            FrontierPoint.measured(one, **effect.rates(intact).to_json())
            for one, effect in measured.frontier
        ],
        perplexity=_perplexities(intact, knocked_out) if is_open else None,
        recovery_ceiling=measured.ceiling,
        alternatives=_alternatives(measured) if is_open else None,
        isolated=IsolatedRates(asr=isolated.asr, utility=isolated.utility),
        random=measured.random,
        unit_effects={str(unit): effect for unit, effect in measured.units.items()},
    )


def _perplexities(intact: Effect, knocked_out: Effect) -> Perplexities:
    return Perplexities(
        answers=Growth(intact=intact.perplexity, knocked_out=knocked_out.perplexity),
        neutral=Growth(
            intact=intact.neutral_perplexity, knocked_out=knocked_out.neutral_perplexity
        ),
    )


def _alternatives(measured: Measurement) -> list[Alternative]:
    """The next smaller and the next larger circuits that were measured, beside the reported one."""
    around = [pair for pair in measured.frontier if len(pair[0])]
    place = next(
        index for index, (_, effect) in enumerate(around) if effect is measured.knocked_out
    )
    beside = ((place - 1, "smaller"), (place + 1, "larger"))
    return [
        Alternative.measured(
            circuit, role=role, asr=effect.asr, utility_retention=effect.retention(measured.intact)
        )
        for index, role in beside
        if 0 <= index < len(around)
        for circuit, effect in (around[index],)
    ]


def paired_tests(before: Effect, after: Effect, *, seed: int) -> PairedTests | None:
    """Tests of intact against knocked out, paired by prompt; None without single verdicts."""
    first, second = before.verdicts, after.verdicts
    if first is None or second is None:
        return None
    return PairedTests(
        mcnemar=mcnemar(first.asr, second.asr),
        asr_difference=paired_difference(first.asr, second.asr, seed=seed),
        utility_difference=paired_difference(first.utility, second.utility, seed=seed),
    )


def truth_scores(folder: Path, ranking: Ranking, area: float) -> TruthScores | None:
    """A ranking against the truth beside the model; None where there is none of its units.

    The ranking should be the learner's own: once a circuit was refined, the top of the ranking
    says what elimination found and not what the method did.
    """
    names = read_truth(folder)
    if names is None:
        return None
    truth = Circuit.of(ranking.space, names)
    return score_against_truth(ranking, truth, frontier_area=area)


def area_under_frontier(kind: BehaviourKind, measured: Measurement) -> float:
    """`frontier_area` of the measured frontier, which is that of the reported ranking."""
    points = [
        (
            len(circuit),
            achieved(
                kind,
                asr=effect.asr.rate,
                recovery=effect.recovery.rate,
                retention=effect.retention(measured.intact),
            ),
        )
        for circuit, effect in measured.frontier
    ]
    return frontier_area(points, len(measured.frontier[0][0].space))


def frontier_frame(circuit: Circuit, measured: Measurement) -> pd.DataFrame:
    """Every circuit measured, columns `FRONTIER_COLUMNS`."""
    rows = [
        *_rows("knocked_out", "joint", measured.frontier),
        *_rows("knocked_out", "separate", measured.grid),
        *_rows("isolated", "joint", [(circuit, measured.isolated)]),
    ]
    return pd.DataFrame(rows, columns=list(FRONTIER_COLUMNS))


def _rows(
    condition: Condition, budget: str, effects: Sequence[tuple[Circuit, Effect]]
) -> list[dict[str, object]]:
    return [
        {
            "split": "test",
            "condition": condition,
            "budget": budget,
            "size": len(circuit),
            "heads": len(circuit.heads),
            "neurons": len(circuit.neurons),
            "sparsity": circuit.sparsity,
            "asr_k": effect.asr.k,
            "asr_n": effect.asr.n,
            "utility_k": effect.utility.k,
            "utility_n": effect.utility.n,
            "recovery_k": effect.recovery.k,
            "recovery_n": effect.recovery.n,
            "kl": effect.kl,
        }
        for circuit, effect in effects
    ]
