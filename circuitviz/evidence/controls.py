"""What makes a circuit believable: the four controls, and further evidence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

import pandas as pd

from circuitviz.evaluation.criteria import ablate_complement, measure_criteria
from circuitviz.evaluation.effect import Effect
from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.evaluation.judge import judge_table, usual_judges
from circuitviz.evaluation.refinement import parts_of
from circuitviz.evaluation.results import (
    Controls,
    Criteria,
    EffectRates,
    JudgeTable,
    Result,
    StochasticRates,
)
from circuitviz.evidence.case import Case
from circuitviz.evidence.random_circuits import draw_random_circuits
from circuitviz.evidence.random_trigger import try_random_trigger
from circuitviz.evidence.second_search import ask_for_nonsense, try_random_weights
from circuitviz.evidence.verdict import (
    judge_nonsense_target,
    judge_random_circuits,
    judge_random_trigger,
    judge_random_weights,
    no_second_search,
)
from circuitviz.models.ablation import AblationName, measure_ablation
from circuitviz.models.model import GatedModel
from circuitviz.progress import OnProgress, span, unwatched
from circuitviz.units import Ranking

# Of a real model: random circuits, and prompts behind each.
OPEN_DRAWS, OPEN_PROMPTS = 20, 24


def run_controls(
    case: Case, load: Callable[[], GatedModel], on_progress: OnProgress = unwatched
) -> Controls:
    """Run all four controls; of open answers, those that do not search again.

    A second and a third search of a real model would take as long as the first, and answers that
    are judged as a whole cannot be told from the nonsense that is asked for.

    Args:
        case: The discovery.
        load: Gives a copy of its model whose weights may be changed.
        on_progress: Told the share that is done; may raise to stop.
    """
    between = partial(span, on_progress)

    if Evaluator(case.model, case.behaviour, "validation").open_utility:
        return _open_controls(case, between)
    circuits = draw_random_circuits(case, between(0.0, 0.15))
    nonsense = ask_for_nonsense(case, between(0.15, 0.55)) if case.reads_answers else None
    weights = try_random_weights(case, load, between(0.55, 0.97))
    trigger = try_random_trigger(case, between(0.97, 1.0))
    verdicts = [
        judge_random_circuits(circuits, case.behaviour.kind),
        judge_nonsense_target(nonsense, reads_answers=case.reads_answers),
        judge_random_weights(weights, case.behaviour.kind),
        judge_random_trigger(trigger, case.behaviour.trigger),
    ]
    return Controls(
        random_circuits=circuits,
        nonsense_target=nonsense,
        random_weights=weights,
        random_trigger=trigger,
        verdicts=verdicts,
    )


def _open_controls(case: Case, between: Callable[[float, float], OnProgress]) -> Controls:
    circuits = draw_random_circuits(case, between(0.0, 0.8), draws=OPEN_DRAWS, prompts=OPEN_PROMPTS)
    trigger = try_random_trigger(case, between(0.8, 1.0), prompts=OPEN_PROMPTS)
    verdicts = [
        judge_random_circuits(circuits, case.behaviour.kind),
        no_second_search("nonsense_target"),
        no_second_search("random_weights"),
        judge_random_trigger(trigger, case.behaviour.trigger),
    ]
    return Controls(random_circuits=circuits, random_trigger=trigger, verdicts=verdicts)


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
