"""The reports of one job, gathered into what a page draws."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from circuitviz.runs.job import JobFolder, JobProgress
from circuitviz.runs.progress import Progress
from circuitviz.runs.tuning_store import CurvePoint
from circuitviz.units import UnitSpace

__all__ = ["ProgressLog", "ProgressWriter"]

HISTORY_POINTS = 400
NEURON_BINS = 64
SCORE_DIGITS = 4  # decimals kept; scores are drawn, not computed with
WRITE_INTERVAL = 0.25  # seconds


class ProgressLog:
    """The history of one job, in memory.

    What a later stage does not report (losses, scores, top units, curve) stays as it last was.
    """

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._losses: list[dict[str, float]] = []
        self._last: Progress | None = None
        self._top_units: tuple[str, ...] = ()
        self._scores: tuple[np.ndarray, UnitSpace] | None = None
        self._edge: float | None = None
        self._curve: tuple[CurvePoint, ...] = ()

    def add(self, progress: Progress) -> None:
        """Take in one report."""
        self._last = progress
        self._top_units = progress.top_units or self._top_units
        self._edge = progress.edge or self._edge
        self._curve = progress.curve or self._curve
        if progress.losses:
            self._steps.append(progress.step)
            self._losses.append(progress.losses)
        if progress.scores is not None and progress.space is not None:
            # A copy: the learner may go on writing into its own.
            self._scores = np.array(progress.scores), progress.space

    def snapshot(self, elapsed: float = 0.0) -> JobProgress | None:
        """All of it up to the latest report; None before the first."""
        if self._last is None:
            return None
        kept = thinned(len(self._steps), HISTORY_POINTS)
        names = dict.fromkeys(name for losses in self._losses for name in losses)
        heads, neurons = score_maps(*self._scores) if self._scores else (None, None)
        return JobProgress(
            stage=self._last.stage,
            fraction=self._last.fraction,
            step=self._last.step,
            steps=self._last.steps,
            losses={
                name: [float(self._losses[i].get(name, np.nan)) for i in kept] for name in names
            },
            loss_steps=[self._steps[i] for i in kept],
            top_units=list(self._top_units),
            head_scores=heads,
            neuron_scores=neurons,
            edge=self._edge,
            arm=self._last.arm,
            curve=[point.row() for point in self._curve],
            elapsed=elapsed,
            resumed=self._last.resumed,
            detail=self._last.detail,
        )


class ProgressWriter:
    """Writes a job's progress to its folder, a few times a second at most.

    The last report of each stage is always written.

    Args:
        folder: Where to.
        clock: Seconds that never go back.
    """

    def __init__(self, folder: JobFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._began = clock()
        self._log = ProgressLog()
        self._written = -np.inf
        self._stage: str | None = None
        self._pending = False

    def add(self, progress: Progress) -> None:
        """Take in one report, and write if it is time to."""
        if progress.stage != self._stage:
            self.flush()
        new_stage, self._stage = progress.stage != self._stage, progress.stage
        self._log.add(progress)
        self._pending = True
        if new_stage or self._clock() - self._written >= WRITE_INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Write what has not been written."""
        if not self._pending:
            return
        self._written = self._clock()
        snapshot = self._log.snapshot(elapsed=self._written - self._began)
        if snapshot is not None:
            self._folder.save_progress(snapshot)
        self._pending = False


def score_maps(scores: np.ndarray, space: UnitSpace) -> tuple[list[list[float]], list[list[float]]]:
    """Scores [units] in flat order as [layers][heads] and [layers][bins].

    A bin holds the highest score of neighbouring neurons; bins differ by at most one neuron.
    """
    heads, neurons = space.split(np.asarray(scores, dtype=np.float64))
    bins = min(NEURON_BINS, space.d_mlp)
    edges = np.arange(bins) * space.d_mlp // bins
    binned = np.maximum.reduceat(neurons, edges, axis=1)
    return heads.round(SCORE_DIGITS).tolist(), binned.round(SCORE_DIGITS).tolist()


def thinned(count: int, most: int) -> list[int]:
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
