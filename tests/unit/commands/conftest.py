"""Commands at work in a folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from circuitviz.cli import main
from circuitviz.runs.store import RunStore
from tests.support.fake_backend import FakeBackend
from tests.support.synthetic import backdoor_run

# Runs a command, checks its exit code, and returns what it printed.
Call = Callable[..., Any]


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of own runs, empty; shipped ones lie in `shipped` beside it."""
    monkeypatch.setenv("CIRCUITVIZ_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr("circuitviz.commands.options.EMBEDDED_RUNS", tmp_path / "shipped")
    return tmp_path / "runs"


@pytest.fixture
def saved(runs: Path) -> str:
    """The id of the one saved run."""
    return RunStore(runs).save(backdoor_run()).name


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """`call(*words, backend=, code=0)`."""

    def call(*words: object, backend: FakeBackend | None = None, code: int = 0) -> Any:
        capsys.readouterr()
        assert main([str(word) for word in words], backend or FakeBackend()) == code
        return capsys.readouterr()

    return call
