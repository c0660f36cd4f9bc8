"""Further evidence about a circuit: criteria, the circuit alone, other ablations, other judges."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import pandas as pd

from circuitviz.evaluation.criteria import measure_criteria
from circuitviz.evaluation.effect import Effect, Probe
from circuitviz.evaluation.judges import judge_table, usual_judges
from circuitviz.evaluation.refinement import parts_of
from circuitviz.evaluation.stochastic import ablate_complement
from circuitviz.evidence.case import Case, Checkpoint
from circuitviz.models.ablation import AblationName
from circuitviz.models.neutral import measure_ablation
from circuitviz.units import Ranking

# Prompts of each role behind each draw of the circuit alone.
FEW_PROMPTS = 64


def gather_evidence(
    case: Case,
    ranking: Ranking,
    generations: pd.DataFrame,
    *,
    intact: Effect,
    knocked_out: Effect,
    checkpoint: Checkpoint = lambda share: None,
) -> dict[str, Any]:
    """The `criteria`, `stochastic`, `ablations` and `judges` of `metrics.json`.

    Args:
        case: The discovery.
        ranking: Its ranking, which says what the circuit's parts are.
        generations: Answers to test prompts, columns `GENERATION_COLUMNS`.
        intact: The effect of nothing on all test prompts.
        knocked_out: The effect of the circuit on all test prompts.
        checkpoint: Told the share of the work that is done; may raise to stop.
    """
    full = Probe(case.model, case.behaviour, "test", ablation=case.ablation)
    few = Probe(case.model, case.behaviour, "test", limit=FEW_PROMPTS, ablation=case.ablation)
    criteria = measure_criteria(
        full,
        case.circuit,
        parts_of(ranking, case.circuit),
        case.target,
        intact=intact,
        knocked_out=knocked_out,
        checkpoint=lambda share: checkpoint(0.7 * share),
    )
    points = ablate_complement(
        few, case.circuit, seed=case.seed, checkpoint=lambda share: checkpoint(0.7 + 0.2 * share)
    )
    checkpoint(0.9)
    return {
        "criteria": criteria.to_json(),
        "stochastic": [point.to_json() for point in points],
        "ablations": compare_ablations(case, intact, knocked_out, partial(checkpoint, 0.9)),
        "judges": judge_table(generations, usual_judges(generations, case.behaviour)),
    }


def compare_ablations(
    case: Case,
    intact: Effect,
    knocked_out: Effect,
    checkpoint: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """The circuit's effect on all test prompts, by what replaces its units.

    `checkpoint` is called before each batch and may raise to stop.
    """
    found: dict[str, Any] = {}
    for name in get_args(AblationName):
        effect = knocked_out
        if name != case.ablation.name:
            ablation = measure_ablation(
                case.model, name, case.behaviour.neutral_messages, seed=case.seed
            )
            probe = Probe(case.model, case.behaviour, "test", ablation=ablation)
            (effect,) = probe.effects([case.circuit], checkpoint=checkpoint)
        found[name] = effect.to_json(intact)
    return found
