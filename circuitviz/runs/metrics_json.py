"""What a discovery measured, as `metrics.json` and `frontier.parquet` keep it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.evaluation.evaluator import Condition, Effect
from circuitviz.evaluation.measurement import Measurement
from circuitviz.evaluation.statistics import mcnemar, paired_difference
from circuitviz.evaluation.truth import (
    achieved,
    frontier_area,
    read_truth,
    score_against_truth,
)
from circuitviz.runs.store import FRONTIER_COLUMNS
from circuitviz.units import Circuit, Ranking


def measured_json(circuit: Circuit, measured: Measurement) -> dict[str, Any]:
    """The headline numbers, the frontier and the effects of single units."""
    intact, knocked_out, isolated = measured.intact, measured.knocked_out, measured.isolated
    return {
        "n_units": len(circuit.space),
        "n_heads": circuit.space.total_heads,
        "n_neurons": circuit.space.total_neurons,
        "circuit": {**_size_json(circuit), "units": [str(unit) for unit in circuit]},
        "asr": {"intact": intact.asr.to_json(), "knocked_out": knocked_out.asr.to_json()},
        "utility": {
            "intact": intact.utility.to_json(),
            "knocked_out": knocked_out.utility.to_json(),
        },
        "recovery": knocked_out.recovery.to_json(),
        "utility_retention": knocked_out.retention(intact),
        "kl": knocked_out.kl,
        "frontier": [
            {**_size_json(found), **dict(effect.rates(intact))}
            for found, effect in measured.frontier
        ],
        **_open_json(measured),
        "isolated": {"asr": isolated.asr.to_json(), "utility": isolated.utility.to_json()},
        "random": measured.random.to_json(),
        "unit_effects": {str(unit): effect.to_json() for unit, effect in measured.units.items()},
    }


def _open_json(measured: Measurement) -> dict[str, Any]:
    """What is told besides where answers are open."""
    intact, knocked_out = measured.intact, measured.knocked_out
    if isnan(intact.perplexity):
        return {}
    ceiling = measured.ceiling
    around = [pair for pair in measured.frontier if len(pair[0])]
    return {
        "perplexity": {
            "answers": {"intact": intact.perplexity, "knocked_out": knocked_out.perplexity},
            "neutral": {
                "intact": intact.neutral_perplexity,
                "knocked_out": knocked_out.neutral_perplexity,
            },
        },
        **({"recovery_ceiling": ceiling.to_json()} if ceiling else {}),
        "alternatives": _alternatives(around, knocked_out, intact),
    }


def _alternatives(
    around: Sequence[tuple[Circuit, Effect]], reported: Effect, intact: Effect
) -> list[dict[str, Any]]:
    """The next smaller and the next larger circuits that were measured, beside the reported one."""
    place = next(index for index, (_, effect) in enumerate(around) if effect is reported)
    beside = ((place - 1, "smaller"), (place + 1, "larger"))
    return [
        {
            "role": role,
            **_size_json(around[index][0]),
            "asr": around[index][1].asr.to_json(),
            "utility_retention": around[index][1].retention(intact),
        }
        for index, role in beside
        if 0 <= index < len(around)
    ]


def statistics_json(before: Effect, after: Effect, *, seed: int) -> dict[str, Any]:
    """Tests of intact against knocked out, paired by prompt; empty without single verdicts."""
    first, second = before.verdicts, after.verdicts
    if first is None or second is None:
        return {}
    asr = paired_difference(first.asr, second.asr, seed=seed)
    utility = paired_difference(first.utility, second.utility, seed=seed)
    return {
        "statistics": {
            "mcnemar": asdict(mcnemar(first.asr, second.asr)),
            "asr_difference": asdict(asr),
            "utility_difference": asdict(utility),
        }
    }


def truth_json(folder: Path, ranking: Ranking, area: float) -> dict[str, Any]:
    """A ranking against the truth beside the model; empty where there is none of its units.

    The ranking should be the learner's own: once a circuit was refined, the top of the ranking
    says what elimination found and not what the method did.
    """
    names = read_truth(folder)
    if names is None:
        return {}
    truth = Circuit.of(ranking.space, names)
    scores = score_against_truth(ranking, truth, frontier_area=area)
    return {"truth": scores.to_json()} if scores else {}


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
) -> list[dict[str, Any]]:
    return [
        {
            "split": "test",
            "condition": condition,
            "budget": budget,
            **{key: value for key, value in _size_json(circuit).items() if key in FRONTIER_COLUMNS},
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


def _size_json(circuit: Circuit) -> dict[str, Any]:
    return {
        "size": len(circuit),
        "heads": len(circuit.heads),
        "neurons": len(circuit.neurons),
        "sparsity": circuit.sparsity,
        "sparsity_heads": circuit.sparsity_heads,
        "sparsity_neurons": circuit.sparsity_neurons,
    }
