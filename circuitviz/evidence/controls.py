"""The controls that must find nothing, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.evaluation.results import Controls
from circuitviz.evidence.case import Case
from circuitviz.evidence.nonsense_target import ask_for_nonsense
from circuitviz.evidence.random_circuits import draw_random_circuits
from circuitviz.evidence.random_trigger import try_random_trigger
from circuitviz.evidence.random_weights import try_random_weights
from circuitviz.evidence.verdict import (
    judge_nonsense_target,
    judge_random_circuits,
    judge_random_trigger,
    judge_random_weights,
    no_second_search,
)
from circuitviz.models.model import GatedModel
from circuitviz.progress import OnProgress, span, unwatched

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
