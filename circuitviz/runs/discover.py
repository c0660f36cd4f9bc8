"""One discovery from beginning to end: learn, choose the circuit, test it, save nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isnan
from pathlib import Path

import pandas as pd

from circuitviz.behaviours.behaviour import BehaviourKind, OwnJudge
from circuitviz.evaluation.effect import Effect
from circuitviz.evaluation.evaluator import Condition
from circuitviz.evaluation.judge import judge_table, usual_judges
from circuitviz.evaluation.measurement import Measurement
from circuitviz.evaluation.results import (
    Alternative,
    BeforeAfter,
    Described,
    FrontierPoint,
    Growth,
    IsolatedRates,
    Measured,
    Metrics,
    PairedTests,
    Perplexities,
    ReportedCircuit,
    TargetAsked,
    TruthScores,
)
from circuitviz.evaluation.statistics import mcnemar, paired_difference
from circuitviz.evaluation.truth import (
    achieved,
    frontier_area,
    read_truth,
    score_against_truth,
)
from circuitviz.models.model import GatedModel
from circuitviz.models.source import find_model, find_source, fingerprint
from circuitviz.progress import unwatched
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.discovery import Discovery
from circuitviz.runs.preparation import versions
from circuitviz.runs.progress import OnStage
from circuitviz.runs.resolve import data_fingerprint
from circuitviz.runs.store import FRONTIER_COLUMNS, Run
from circuitviz.units import Circuit, Ranking


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
