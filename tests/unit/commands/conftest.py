"""Commands at work in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of own runs, empty; shipped ones lie in `shipped` beside it."""
    monkeypatch.setenv("CIRCUITVIZ_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr("circuitviz.commands.options.EMBEDDED_RUNS", tmp_path / "shipped")
    return tmp_path / "runs"
