"""One discovery from beginning to end: learn, choose the circuit, test it, save nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from circuitviz.behaviours.behaviour import OwnJudge
from circuitviz.evaluation.judge import judge_table, usual_judges
from circuitviz.evaluation.results import Described, Metrics, TargetAsked
from circuitviz.models.model import GatedModel
from circuitviz.models.source import find_model, find_source, fingerprint
from circuitviz.progress import unwatched
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.discovery import Discovery
from circuitviz.runs.measured import (
    area_under_frontier,
    frontier_frame,
    measured_results,
    paired_tests,
    truth_scores,
)
from circuitviz.runs.progress import OnStage
from circuitviz.runs.resolve import data_fingerprint
from circuitviz.runs.store import Run
from circuitviz.runs.versions import versions
from circuitviz.units import Ranking


def run_discovery(
    config: DiscoveryConfig,
    *,
    on_progress: OnStage = unwatched,
    model: GatedModel | None = None,
    judges: tuple[OwnJudge, ...] = (),
) -> Run:
    """Find the circuit a configuration asks for and measure it; nothing is saved.

    Scores against a planted truth are those of the learner's own ranking.  Where units are
    dropped from the chosen circuit afterwards, the run's ranking has the refined circuit on top,
    its parts in greedy order and what is next in line after them, and the frontier, circuits of
    every size below it included, and its area are of that ranking.  `frontier_area` has this one
    meaning wherever a run shows it; the learner's own ranking has a frontier of its own, which no
    run measures.

    Args:
        config: What to do.
        on_progress: Called with how far the discovery is; may raise `JobCancelledError` to stop it.
        model: The model of the configuration, where it is loaded already.
        judges: The behaviour's own judges, where no file can hold them.

    Raises:
        CircuitvizError: The model or its prompts cannot be used.
    """
    started = time.monotonic()
    work = Discovery.prepared(config, on_progress, model, judges=judges)
    learned = work.learn()
    ranking = own = Ranking(work.model.space, learned.scores, config.granularity)
    selection = work.select(own)
    circuit, refinement = selection.circuit, None
    if config.refine:
        ranking, refinement = work.refine(own, selection)
        circuit = refinement.circuit
    told = None
    if work.is_open:
        generations, told = work.answer_openly(circuit)
        measured = told.decided(work.measure(ranking, circuit, succeeded=told.succeeded))
    else:
        measured = work.measure(ranking, circuit, len(refinement.runners_up) if refinement else 0)
        generations = work.answer(circuit)
    verdicts, proxy = told.results() if told else (None, None)
    area = area_under_frontier(work.behaviour.kind, measured)
    missed = work.target.missed(measured.knocked_out, measured.intact)
    own_judges = usual_judges(generations, work.behaviour) if work.behaviour.judges else ()
    metrics = Metrics.composed(
        _described(work, seconds=round(time.monotonic() - started, 2)),
        measured_results(circuit, measured),
        open=True if told else None,
        verdicts=verdicts,
        proxy=proxy,
        target_reached=not missed,
        target_missed=list(missed),
        # On validation prompts, where the size was chosen.
        target_reached_in_selection=selection.reached,
        frontier_area=area,
        statistics=paired_tests(measured.intact, measured.knocked_out, seed=config.seed),
        refinement=refinement.result if refinement else None,
        # What was planted in a model says nothing of it under an adapter.
        truth=None if config.adapter else truth_scores(find_model(config.model), own, area),
        learning=learned.curve,
        judges=judge_table(generations, own_judges) if own_judges else None,
    )
    if config.controls:
        controls, evidence = work.believe(
            circuit, selection.circuit, ranking, measured, generations
        )
        seconds = round(time.monotonic() - started, 2)
        parts = (metrics, evidence) if evidence else (metrics,)
        metrics = Metrics.composed(*parts, controls=controls, seconds_with_controls=seconds)
    return Run(
        run_id=config.run_id(),
        config=config,
        space=work.model.space,
        scores=ranking.scores,
        frontier=frontier_frame(circuit, measured),
        generations=generations,
        metrics=metrics,
    )


def _described(work: Discovery, *, seconds: float) -> Described:
    config, behaviour = work.config, work.behaviour
    return Described.composed(
        run_id=config.run_id(),
        model=config.model,
        weights=fingerprint(find_source(config.model, config.adapter)),
        data=data_fingerprint(config),
        method=config.method,
        granularity=config.granularity,
        behaviour=behaviour.title,
        behaviour_kind=behaviour.kind,
        question=behaviour.question,
        trigger=behaviour.trigger,
        prompts_dropped=behaviour.dropped or None,
        screening=behaviour.screening,
        target=TargetAsked(asr=work.target.asr, utility=work.target.utility),
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
    )
