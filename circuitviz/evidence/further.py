"""Further evidence about a circuit: criteria, the circuit alone, other ablations, other judges."""

from __future__ import annotations

from typing import get_args

import pandas as pd

from circuitviz.evaluation.criteria import ablate_complement, measure_criteria
from circuitviz.evaluation.effect import Effect
from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.evaluation.judge import judge_table, usual_judges
from circuitviz.evaluation.refinement import parts_of
from circuitviz.evaluation.results import Criteria, EffectRates, JudgeTable, Result, StochasticRates
from circuitviz.evidence.case import Case
from circuitviz.models.ablation import AblationName, measure_ablation
from circuitviz.progress import OnProgress, span, unwatched
from circuitviz.units import Ranking

# Prompts of each role behind each draw of the circuit alone.
FEW_PROMPTS = 64


class Evidence(Result):
    """What a run with controls measures besides."""

    criteria: Criteria
    stochastic: list[StochasticRates]
    ablations: dict[str, EffectRates]
    judges: JudgeTable


def gather_evidence(
    case: Case,
    ranking: Ranking,
    generations: pd.DataFrame,
    *,
    intact: Effect,
    knocked_out: Effect,
    on_progress: OnProgress = unwatched,
) -> Evidence:
    """Measure all of it.

    Args:
        case: The discovery.
        ranking: Its ranking, which says what the circuit's parts are.
        generations: Answers to test prompts, columns `GENERATION_COLUMNS`.
        intact: The effect of nothing on all test prompts.
        knocked_out: The effect of the circuit on all test prompts.
        on_progress: Told the share that is done; may raise to stop.
    """
    full = Evaluator(case.model, case.behaviour, "test", ablation=case.ablation)
    few = Evaluator(case.model, case.behaviour, "test", limit=FEW_PROMPTS, ablation=case.ablation)
    criteria = measure_criteria(
        full,
        case.circuit,
        parts_of(ranking, case.circuit),
        case.target,
        intact=intact,
        knocked_out=knocked_out,
        on_progress=span(on_progress, 0.0, 0.7),
    )
    points = ablate_complement(
        few, case.circuit, seed=case.seed, on_progress=span(on_progress, 0.7, 0.9)
    )
    return Evidence(
        criteria=criteria,
        stochastic=points,
        ablations=compare_ablations(case, intact, knocked_out, span(on_progress, 0.9, 1.0)),
        judges=judge_table(generations, usual_judges(generations, case.behaviour)),
    )


def compare_ablations(
    case: Case,
    intact: Effect,
    knocked_out: Effect,
    on_progress: OnProgress = unwatched,
) -> dict[str, EffectRates]:
    """The circuit's effect on all test prompts, by what replaces its units.

    `on_progress` is told the share that is done, and may raise to stop.
    """
    effects: dict[str, EffectRates] = {}
    names = get_args(AblationName)
    for done, name in enumerate(names):
        effect = knocked_out
        if name != case.ablation.name:
            ablation = measure_ablation(
                case.model, name, case.behaviour.neutral_messages, seed=case.seed
            )
            probe = Evaluator(case.model, case.behaviour, "test", ablation=ablation)
            share = span(on_progress, done / len(names), (done + 1) / len(names))
            (effect,) = probe.effects([case.circuit], on_progress=share)
        effects[name] = effect.rates(intact)
    return effects
