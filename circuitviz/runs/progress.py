"""What a running discovery or tuning tells whoever watches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from circuitviz.runs.job import JobFolder, JobProgress
from circuitviz.runs.tuning_store import CurvePoint
from circuitviz.units import UnitSpace

Stage = Literal[
    "load", "learn", "select", "refine", "tune", "test", "generate", "controls", "evidence", "save"
]

# How long each stage takes beside the others, in hundredths of a discovery without controls, from
# measured times and counted tokens.
DURATIONS: dict[Stage, float] = {
    "load": 6,
    "learn": 30,
    "select": 11,
    "refine": 6,
    "test": 38,
    "generate": 8,
    "controls": 80,
    "evidence": 30,
    "save": 1,
}
# The same where answers are open: of a real model, learning and whole answers take most of it.
# Whole answers come first there: they decide what is counted.
OPEN_DURATIONS: dict[Stage, float] = {
    "load": 4,
    "learn": 39,
    "select": 9,
    "refine": 6,
    "generate": 20,
    "test": 19,
    "controls": 4,
    "evidence": 1,
    "save": 1,
}
# Stages of a discovery with controls only.
WITH_CONTROLS: tuple[Stage, ...] = ("controls", "evidence")

HISTORY_POINTS = 400
NEURON_BINS = 64
SCORE_DIGITS = 4  # decimals kept; scores are drawn, not computed with
WRITE_INTERVAL = 0.25  # seconds


@dataclass(frozen=True)
class Progress:
    """The state of one discovery or tuning at one moment.

    Attributes:
        stage: What is being done.
        fraction: Share of the whole work that is done, in [0, 1].
        step: Optimiser steps done, of `steps`.
        losses: The latest training losses by name (`removal`, `utility`), nats per answer token.
        top_units: Names of the units ranked highest now, best first.
        scores: Scores [units] in flat order, where learning has some.
        space: The units those scores belong to; given whenever `scores` is.
        edge: How many units it takes at the moment to make the behaviour begin to vanish.
        arm: The arm of a tuning that is at work.
        curve: All points of a tuning so far.
        resumed: Share of the whole work that an earlier attempt did, which is part of `fraction`.
        detail: What exactly is being done, for people; "" says no more than the stage does.
    """

    stage: Stage
    fraction: float
    step: int = 0
    steps: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    top_units: tuple[str, ...] = ()
    scores: np.ndarray | None = None
    space: UnitSpace | None = None
    edge: float | None = None
    arm: str = ""
    curve: tuple[CurvePoint, ...] = ()
    resumed: float = 0.0
    detail: str = ""


# Called often; may raise JobCancelledError to stop the work between steps.
Report = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """The report nobody reads."""


def overall(stage: Stage, done: float, *, controls: bool, is_open: bool = False) -> float:
    """Share of a whole discovery that is done, where a share of one of its stages is.

    Args:
        stage: The stage at work.
        done: Share of it that is done, in [0, 1].
        controls: Whether the discovery runs the controls.
        is_open: Whether answers are open.
    """
    durations = OPEN_DURATIONS if is_open else DURATIONS
    stages: list[Stage] = [name for name in durations if controls or name not in WITH_CONTROLS]
    before = sum(durations[name] for name in stages[: stages.index(stage)])
    return (before + durations[stage] * done) / sum(durations[name] for name in stages)


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
