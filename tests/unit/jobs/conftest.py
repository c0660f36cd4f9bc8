from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from circuitviz.files import PROJECT
from circuitviz.jobs.runner import JobRunner
from circuitviz.runs.config import DiscoveryConfig, TuningConfig
from tests.unit.jobs.fake_discovery import END, STEP

DISCOVER = "tests.unit.jobs.fake_discovery:discover"
TUNE = "tests.unit.jobs.fake_tuning:tune"
PATIENCE = 60.0  # seconds; a hang fails the test instead of the whole run


class Gate:
    """The test's end of a `gated` discovery or tuning."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._worker: socket.socket | None = None

    def config(self, seed: int = 0) -> DiscoveryConfig:
        host, port = self._server.getsockname()
        return DiscoveryConfig(model="gated", prompts=f"{host}:{port}", seed=seed)

    def tuning_config(self, run: str) -> TuningConfig:
        host, port = self._server.getsockname()
        return TuningConfig(run, "repair", data=f"{host}:{port}")

    def wait_until_entered(self) -> None:
        self._worker, _ = self._server.accept()
        self._worker.settimeout(PATIENCE)

    def step(self) -> bool:
        """One step; false if the discovery did not take it."""
        assert self._worker is not None
        self._worker.sendall(STEP)
        return self._worker.recv(1) == STEP

    def end(self) -> None:
        assert self._worker is not None
        self._worker.sendall(END)

    def wait_until_left(self) -> None:
        assert self._worker is not None
        assert self._worker.recv(1) == b""

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        gate = Gate(server)
        yield gate
        gate.close()


@pytest.fixture(autouse=True)
def _workers_find_the_fake_discovery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[JobRunner]:
    with JobRunner(tmp_path / "runs", discover=DISCOVER, tune=TUNE) as runner:
        yield runner
