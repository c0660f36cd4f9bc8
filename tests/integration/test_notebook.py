"""The notebook of a report runs from top to bottom and finds what was reported."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from circuitviz.report.make import write_report
from circuitviz.report.options import ReportOptions
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import Run
from tests.support.tiny_backdoor import save_tiny_backdoor

PATIENCE = 240  # seconds a cell may take

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A short discovery in a tiny model, as the notebook will repeat it."""
    from circuitviz.runs.discover import run_discovery

    folder = save_tiny_backdoor(tmp_path_factory.mktemp("notebook") / "tiny")
    return run_discovery(DiscoveryConfig(model=str(folder), steps=2, refine=False))


@pytest.mark.parametrize("another", [False, True], ids=["reported", "another size"])
def test_the_notebook_repeats_the_run(tmp_path, monkeypatch, run, another):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    size = next(one for one in run.joint_sizes if one not in (0, run.size))
    out = tmp_path / "again.ipynb"
    write_report(run, out, ReportOptions(size=size if another else None))
    found = nbformat.read(out, as_version=4)
    NotebookClient(found, timeout=PATIENCE, kernel_name="python3").execute()
    shown = next(cell for cell in found.cells if cell["source"].endswith("\ncomparison"))
    table = shown.outputs[-1]["data"]["text/plain"]
    asr, units = run.metrics.asr.intact, size if another else run.size
    assert table.count(f"{asr.k} of {asr.n}") >= 2
    assert f"{units}, {units} of them the same" in table
    assert "circuit off" in found.cells[-1].outputs[-1]["data"]["text/plain"]
