"""A discovery that does what its model's name says, for the worker to carry out.

A `gated` one connects to the test through the address given as its prompts file, takes one step
whenever the test says so, and ends when the test says so.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace

import numpy as np

from circuitviz.errors import ConfigError
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.progress import OnStage, Progress
from circuitviz.runs.store import Run
from tests.support.synthetic import backdoor_run

STEP, END = b"s", b"e"


def discover(config: DiscoveryConfig, *, on_progress: OnStage) -> Run:
    match config.model:
        case "gated":
            _obey(config, on_progress)
        case "refused":
            raise ConfigError("no such thing;\n try another")
        case "bug":
            raise ValueError("two\nlines")
        case "exit":
            os._exit(3)
        case "noisy":
            sys.stdout.write("a library talks\n")
    on_progress(Progress("learn", 0.5, step=1, steps=2, losses={"removal": 0.25}))
    return replace(backdoor_run(), config=config, run_id=config.run_id())


def _obey(config: DiscoveryConfig, on_progress: OnStage) -> None:
    host, _, port = str(config.prompts).rpartition(":")
    with socket.create_connection((host, int(port))) as test:
        step = 0
        while test.recv(1) == STEP:
            step += 1
            space = backdoor_run().space
            on_progress(
                Progress(
                    "learn",
                    fraction=step / 4,
                    step=step,
                    steps=4,
                    losses={"removal": 1 / step},
                    scores=np.arange(len(space), dtype=np.float32),
                    space=space,
                )
            )
            test.sendall(STEP)
