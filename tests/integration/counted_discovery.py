"""A real discovery that leaves a note whenever it begins and whenever it ends.

A note is an empty file in the folder that `CIRCUITVIZ_TEST_NOTES` names.  Where
`CIRCUITVIZ_TEST_DOOM` names an address, one run is carried out; the next one calls there and
waits to be killed.
"""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path

from circuitviz.runs import discover as real
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.progress import OnStage
from circuitviz.runs.store import Run

NOTES, DOOM = "CIRCUITVIZ_TEST_NOTES", "CIRCUITVIZ_TEST_DOOM"


def discover(config: DiscoveryConfig, *, on_progress: OnStage) -> Run:
    leave("begun", config)
    address = os.environ.get(DOOM)
    if address and (Path(os.environ[NOTES]) / "doomed").exists():
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))) as test:
            test.recv(1)
    run = real.run_discovery(config, on_progress=on_progress)
    leave("ended", config)
    if address:
        leave("doomed", config)
    return run


def leave(what: str, config: DiscoveryConfig) -> None:
    folder = Path(os.environ[NOTES]) / what
    folder.mkdir(exist_ok=True)
    (folder / f"{config.run_id()}.{uuid.uuid4().hex}").touch()
