"""A tuning for the worker to carry out; with data it obeys the test at that address.

It takes one epoch whenever the test says so, keeps it, and goes on from what was kept.
"""

from __future__ import annotations

import socket
from pathlib import Path

from circuitviz.errors import ConfigError
from circuitviz.runs.config import TuningConfig
from circuitviz.runs.progress import OnStage, Progress
from circuitviz.runs.store import Run
from circuitviz.runs.tuning_store import Tuning
from tests.support.synthetic_tuning import repair_tuning, tuning_curve
from tests.unit.jobs.fake_discovery import STEP


def tune(config: TuningConfig, *, run: Run, on_progress: OnStage, kept: Path) -> Tuning:
    if config.size == 999:
        raise ConfigError("too large;\n try a smaller one")
    kept.mkdir(parents=True, exist_ok=True)
    done = kept / "epochs"
    if config.data:
        _obey(config.data, on_progress, done)
    epochs = done.read_text() if done.exists() else "0"
    tuning = repair_tuning(run)
    return Tuning(
        config.tuning_id(),
        config,
        tuning.curve,
        tuning.answers,
        tuning.metrics.changed(plan=tuning.metrics.plan.changed(epochs=int(epochs))),
    )


def _obey(data: str, on_progress: OnStage, done: Path) -> None:
    host, _, port = data.rpartition(":")
    with socket.create_connection((host, int(port))) as test:
        epoch = int(done.read_text()) if done.exists() else 0
        while test.recv(1) == STEP:
            epoch += 1
            points = tuning_curve((0, 256), {"circuit": (256, 256)}, epochs=4)[: epoch + 1]
            on_progress(Progress("tune", epoch / 4, arm="circuit", curve=tuple(points)))
            done.write_text(str(epoch))
            test.sendall(STEP)
