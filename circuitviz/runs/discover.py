"""One discovery from beginning to end: learn, choose the circuit, test it, save nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from circuitviz.behaviours.behaviour import OwnJudge
from circuitviz.evaluation.judge import judge_table, usual_judges
from circuitviz.evaluation.results import Metrics
from circuitviz.models.model import GatedModel
from circuitviz.models.source import find_model, find_source, fingerprint
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.discovery import Discovery
from circuitviz.runs.metrics_json import (
    area_under_frontier,
    frontier_frame,
    measured_json,
    statistics_json,
    truth_json,
)
from circuitviz.runs.progress import Report, ignore
from circuitviz.runs.resolve import data_fingerprint
from circuitviz.runs.store import Run
from circuitviz.runs.versions import versions
from circuitviz.units import Ranking


def discover(
    config: DiscoveryConfig,
    *,
    report: Report = ignore,
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
        report: Told where the discovery stands; may raise `JobCancelledError` to stop it.
        model: The model of the configuration, where it is loaded already.
        judges: The behaviour's own judges, where no file can hold them.

    Raises:
        CircuitvizError: The model or its prompts cannot be used.
    """
    started = time.monotonic()
    work = Discovery.prepared(config, report, model, judges=judges)
    learned = work.learn()
    ranking = own = Ranking(work.model.space, learned.scores, config.granularity)
    selection = work.select(own)
    circuit, refinement = selection.circuit, None
    if config.refine:
        ranking, refinement = work.refine(own, selection)
        circuit = refinement.circuit
    answers: dict[str, Any] = {}
    if work.is_open:
        generations, told = work.answer_openly(circuit)
        measured = told.decided(work.measure(ranking, circuit, succeeded=told.succeeded))
        answers = {"open": True, **told.to_json()}
    else:
        measured = work.measure(ranking, circuit, len(refinement.runners_up) if refinement else 0)
        generations = work.answer(circuit)
    area = area_under_frontier(work.behaviour.kind, measured)
    metrics: dict[str, Any] = {
        **_described(work),
        "seconds": round(time.monotonic() - started, 2),
        **measured_json(circuit, measured),
        **answers,
        "target_reached": work.target.met(measured.knocked_out, measured.intact),
        "target_missed": list(work.target.missed(measured.knocked_out, measured.intact)),
        # On validation prompts, where the size was chosen.
        "target_reached_in_selection": selection.reached,
        "frontier_area": area,
        **statistics_json(measured.intact, measured.knocked_out, seed=config.seed),
        **({"refinement": refinement.to_json()} if refinement else {}),
        # What was planted in a model says nothing of it under an adapter.
        **({} if config.adapter else truth_json(find_model(config.model), own, area)),
        "learning": learned.curve,
    }
    if work.behaviour.judges:
        metrics["judges"] = judge_table(generations, usual_judges(generations, work.behaviour))
    if config.controls:
        metrics |= work.believe(circuit, selection.circuit, ranking, measured, generations)
        metrics["seconds_with_controls"] = round(time.monotonic() - started, 2)
    return Run(
        run_id=config.run_id(),
        config=config,
        space=work.model.space,
        scores=ranking.scores,
        frontier=frontier_frame(circuit, measured),
        generations=generations,
        metrics=Metrics.model_validate(metrics),
    )


def _described(work: Discovery) -> dict[str, Any]:
    """The part of `metrics.json` that says what was done."""
    config, behaviour = work.config, work.behaviour
    return {
        "run_id": config.run_id(),
        "model": config.model,
        "weights": fingerprint(find_source(config.model, config.adapter)),
        "data": data_fingerprint(config),
        "method": config.method,
        "granularity": config.granularity,
        "behaviour": behaviour.title,
        "behaviour_kind": behaviour.kind,
        "question": behaviour.question,
        "trigger": behaviour.trigger,
        **({"prompts_dropped": behaviour.dropped} if behaviour.dropped else {}),
        **({"screening": behaviour.screening.to_json()} if behaviour.screening else {}),
        "target": {"asr": work.target.asr, "utility": work.target.utility},
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
