"""How far a job is, as its folder keeps it: all reports so far in one record of JSON values."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from circuitviz.runs.progress import Progress
from circuitviz.units import UnitSpace

if TYPE_CHECKING:
    from circuitviz.jobs.job import JobFolder

HISTORY_POINTS = 400
_NEURON_BINS = 64
SCORE_DIGITS = 4  # decimals kept; scores are drawn, not computed with
WRITE_INTERVAL = 0.25  # seconds


@dataclass(frozen=True)
class JobProgress:
    """How far a running job is, and what it has found so far; JSON values only.

    Attributes:
        stage: What is being done (`circuitviz.runs.progress.Stage`).
        fraction: Share of the whole job that is done, in [0, 1].
        step: Optimiser steps done, of `steps`.
        losses: History of each training loss, one value per entry of `loss_steps`.
        loss_steps: The steps of the history, thinned to at most 400.
        top_units: Names of the units ranked highest now, best first.
        head_scores: [layers][heads].
        neuron_scores: [layers][bins], the highest score in each of at most 64 bins.
        edge: How many units it takes at the moment to make the behaviour begin to vanish.
        arm: The arm of a tuning that is at work.
        curve: The points of a tuning so far, keys `CURVE_COLUMNS` of
            `circuitviz.runs.tuning_store`; a loss that does not exist is None.
        elapsed: Seconds the worker has spent on this job.
        resumed: Share of the whole job that an earlier attempt did, which is part of `fraction`.
        detail: What exactly is being done, for people.
    """

    stage: str
    fraction: float
    step: int = 0
    steps: int = 0
    losses: dict[str, list[float]] = field(default_factory=dict)
    loss_steps: list[int] = field(default_factory=list)
    top_units: list[str] = field(default_factory=list)
    head_scores: list[list[float]] | None = None
    neuron_scores: list[list[float]] | None = None
    edge: float | None = None
    arm: str = ""
    curve: list[dict[str, Any]] = field(default_factory=list)
    elapsed: float = 0.0
    resumed: float = 0.0
    detail: str = ""


class ProgressWriter:
    """Writes a job's progress to its folder, a few times a second at most.

    The last report of each stage is always written.  What a later stage does not report (losses,
    scores, top units, curve) stays as it last was.

    Args:
        folder: Where to.
        clock: Seconds that never go back.
    """

    def __init__(self, folder: JobFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._began = clock()
        self._written = -np.inf
        self._pending = False
        self._latest: Progress | None = None
        self._losses: list[tuple[int, dict[str, float]]] = []

    def add(self, progress: Progress) -> None:
        """Take in one report, and write if it is time to."""
        before = self._latest
        new_stage = before is None or before.stage != progress.stage
        if new_stage:
            self.flush()
        if progress.losses:
            self._losses.append((progress.step, progress.losses))
        if progress.scores is not None:
            # A copy: the learner may go on writing into its own.
            progress = replace(progress, scores=np.array(progress.scores))
        if before is not None:
            kept = before if progress.scores is None else progress
            progress = replace(
                progress,
                top_units=progress.top_units or before.top_units,
                edge=progress.edge or before.edge,
                curve=progress.curve or before.curve,
                scores=kept.scores,
                space=kept.space,
            )
        self._latest, self._pending = progress, True
        if new_stage or self._clock() - self._written >= WRITE_INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Write what has not been written."""
        if self._latest is None or not self._pending:
            return
        self._written = self._clock()
        elapsed = self._written - self._began
        self._folder.save_progress(job_progress(self._latest, self._losses, elapsed))
        self._pending = False


def job_progress(
    latest: Progress, losses: list[tuple[int, dict[str, float]]], elapsed: float = 0.0
) -> JobProgress:
    """The latest report, with the history (step, losses by name) of the ones before it."""
    kept = [losses[index] for index in thinned_steps(len(losses), HISTORY_POINTS)]
    names = dict.fromkeys(name for _, values in losses for name in values)
    heads, neurons = None, None
    if latest.scores is not None and latest.space is not None:
        heads, neurons = score_maps(latest.scores, latest.space)
    return JobProgress(
        stage=latest.stage,
        fraction=latest.fraction,
        step=latest.step,
        steps=latest.steps,
        losses={name: [float(values.get(name, np.nan)) for _, values in kept] for name in names},
        loss_steps=[step for step, _ in kept],
        top_units=list(latest.top_units),
        head_scores=heads,
        neuron_scores=neurons,
        edge=latest.edge,
        arm=latest.arm,
        curve=[point.row() for point in latest.curve],
        elapsed=elapsed,
        resumed=latest.resumed,
        detail=latest.detail,
    )


def score_maps(scores: np.ndarray, space: UnitSpace) -> tuple[list[list[float]], list[list[float]]]:
    """Scores [units] in flat order as [layers][heads] and [layers][bins].

    A bin holds the highest score of neighbouring neurons; bins differ by at most one neuron.
    """
    heads, neurons = space.split(np.asarray(scores, dtype=np.float64))
    bins = min(_NEURON_BINS, space.d_mlp)
    edges = np.arange(bins) * space.d_mlp // bins
    binned = np.maximum.reduceat(neurons, edges, axis=1)
    return heads.round(SCORE_DIGITS).tolist(), binned.round(SCORE_DIGITS).tolist()


def thinned_steps(count: int, most: int) -> list[int]:
    """At most `most` of the indices below `count`, evenly spread, the last one included.

    The spacing doubles as the history grows, so that points already drawn stay where they are.
    """
    stride = 1
    while -(-count // stride) > most - 1:
        stride *= 2
    kept = list(range(0, count, stride))
    if count and kept[-1] != count - 1:
        kept.append(count - 1)
    return kept
