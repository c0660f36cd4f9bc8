"""How far a running discovery or tuning is, stage by stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

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
OnStage = Callable[[Progress], None]


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
