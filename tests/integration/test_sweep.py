"""Sweeps of real discoveries, on a Ray cluster that loses a node and without Ray."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest
import yaml

from circuitviz.files import PROJECT
from circuitviz.jobs.pool import RayPool
from circuitviz.jobs.sweep import check_sweep, perform_sweep, read_sweep
from circuitviz.runs.store import RunStore
from tests.integration.counted_discovery import DOOM, NOTES
from tests.support.tiny_backdoor import save_tiny_backdoor

pytestmark = pytest.mark.slow

COUNTED = "tests.integration.counted_discovery:discover"
LOOPBACK = "127.0.0.1"
KILL_AFTER = 6  # of 12
PATIENCE = 60.0  # seconds; a hang fails the test instead of the whole run
SWEEP = {
    "models": ["tiny"],
    "methods": ["nested", "attribution"],
    "seeds": [0, 1, 2],
    "settings": [{"steps": 3, "refine": False}, {"steps": 4, "refine": False}],
    "ray": {"num_cpus": 1, "max_retries": 3},
}
RUNS = 2 * 3 * 2


@pytest.fixture(scope="module")
def sweep_file(tmp_path_factory) -> Path:
    """A sweep of 12 short runs, its model beside it."""
    folder = tmp_path_factory.mktemp("sweep")
    save_tiny_backdoor(folder / "tiny")
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump(SWEEP))
    return file


@pytest.fixture
def notes(tmp_path, monkeypatch) -> Path:
    """Where runs leave their notes; nodes started from now on know it."""
    folder = tmp_path / "notes"
    folder.mkdir()
    monkeypatch.setenv(NOTES, str(folder))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    return folder


def counted(folder: Path) -> Counter[str]:
    return Counter(path.name.rpartition(".")[0] for path in folder.iterdir())


@pytest.fixture
def doom():
    """Where a run on the second node calls when it waits to be killed."""
    with socket.create_server((LOOPBACK, 0)) as server:
        server.settimeout(PATIENCE)
        yield server


@pytest.fixture
def cluster(notes, doom, monkeypatch):
    """A head and one more node, of one core each, on the loopback interface alone."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # Read when Ray is imported: otherwise it takes the loopback address for the machine's own.
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    with warnings.catch_warnings():
        # Ray's own import uses what its dependencies have deprecated.
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster
    node = {"num_cpus": 1, "node_ip_address": LOOPBACK}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    # What runs on the second node inherits its environment.
    monkeypatch.setenv(DOOM, "{}:{}".format(*doom.getsockname()))
    cluster.add_node(**node)
    yield cluster
    cluster.shutdown()


def test_twelve_runs_on_two_nodes_survive_the_death_of_one(
    sweep_file, cluster, notes, doom, tmp_path
):
    sweep, store = read_sweep(sweep_file), RunStore(tmp_path / "runs")
    check_sweep(sweep)
    saved: list[str] = []

    def report(run):
        if not run.ended:
            return
        assert run.state == "done", run.error
        saved.append(run.config.run_id())
        # It is there at once, whole.
        assert store.load(saved[-1]).size == run.size
        if len(saved) == KILL_AFTER:
            (node,) = cluster.worker_nodes
            # It is in the middle of a run.
            with doom.accept()[0]:
                cluster.remove_node(node, allow_graceful=False)

    runs = perform_sweep(sweep, store, RayPool(cluster.address, sweep.ray, COUNTED), report)
    expected = {config.run_id() for config in sweep.configs}
    assert len(runs) == len(expected) == RUNS
    # Nothing lost, and nothing twice: each is saved once, and each folder is there.
    assert Counter(saved) == dict.fromkeys(expected, 1)
    assert set(store.ids()) == expected
    assert {path.name for path in store.folder.iterdir()} == expected
    # The run that the node was in the middle of was begun again, by Ray, and ended elsewhere.
    begun, ended = counted(notes / "begun"), counted(notes / "ended")
    assert set(ended) == expected
    assert begun.total() == ended.total() + 1
    # A second sweep finds everything done and asks nobody.
    again = perform_sweep(sweep, store, RayPool("nobody:1", sweep.ray, COUNTED))
    assert [run.state for run in again] == ["saved"] * RUNS


def test_the_same_sweep_without_ray_gives_the_same_runs(sweep_file, tmp_path):
    (tmp_path / "no_ray").mkdir()
    (tmp_path / "no_ray" / "ray.py").write_text("raise ImportError('no Ray here')\n")
    command = [sys.executable, "-m", "circuitviz.cli", "sweep", str(sweep_file), "--json"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "no_ray"), str(PROJECT)]),
    }

    def swept(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, "--runs", str(tmp_path / "runs"), *options],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    refused = swept("--ray", "auto")
    assert refused.returncode == 2
    assert "install circuitviz[ray]" in refused.stderr
    first = swept("--workers", "2")
    assert first.returncode == 0, first.stderr
    expected = [config.run_id() for config in read_sweep(sweep_file).configs]
    found = json.loads(first.stdout)
    assert [run["run_id"] for run in found["runs"]] == expected
    assert (found["done"], found["saved"], found["failed"]) == (RUNS, 0, 0)
    assert set(RunStore(tmp_path / "runs").ids()) == set(expected)
    # One line a run, whose columns are aligned, and nothing else than the table.
    lines = [line for line in first.stderr.replace("\r", "\n").splitlines() if "  done " in line]
    assert sorted(line.split()[0] for line in lines) == sorted(expected)
    assert len({line.index("  done ") for line in lines}) == 1
    assert "Traceback" not in first.stderr
    assert "leaked" not in first.stderr
    again = json.loads(swept().stdout)
    assert (again["done"], again["saved"], again["failed"]) == (0, RUNS, 0)


def test_an_address_where_nobody_answers_is_refused_at_once(sweep_file, tmp_path):
    with socket.socket() as taken:
        # Bound and not listening: whoever calls is turned away.
        taken.bind((LOOPBACK, 0))
        address = f"{LOOPBACK}:{taken.getsockname()[1]}"
        pool = RayPool(address)
        with pytest.raises(Exception, match=f"no Ray cluster answers at '{address}': .*refused"):
            perform_sweep(read_sweep(sweep_file), RunStore(tmp_path), pool)
