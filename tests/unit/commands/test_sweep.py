"""The sweep command: where runs go, and what stands below the table."""

from __future__ import annotations

import pytest

from circuitviz.errors import ConfigError
from circuitviz.jobs.pool import LocalPool
from circuitviz.jobs.sweep import Sweep, SweptRun, chosen_pool
from circuitviz.jobs.terminal import SweepTable
from circuitviz.runs.config import DiscoveryConfig

CONFIGS = tuple(DiscoveryConfig("refusal", seed=seed) for seed in (0, 1))


@pytest.mark.parametrize("workers", [0, -1, 1025])
def test_a_number_of_processes_that_is_not_usable(workers):
    with pytest.raises(ConfigError) as error:
        chosen_pool(Sweep(CONFIGS), workers, None)
    assert str(error.value) == f"--workers must be between 1 and 1024; got {workers}"


def test_processes_are_as_many_as_are_asked_for(monkeypatch):
    monkeypatch.setattr("circuitviz.jobs.sweep.gpu_count", lambda configs: 2)
    monkeypatch.setattr("circuitviz.jobs.sweep.usual_workers", lambda configs: 5)
    asked, usual = (chosen_pool(Sweep(CONFIGS), workers, None) for workers in (3, None))
    assert isinstance(asked, LocalPool)
    assert isinstance(usual, LocalPool)
    assert (asked.workers, asked.gpus, usual.workers) == (3, 2, 5)


def test_what_a_cluster_has_is_submitted_and_what_tells_its_share_is_at_work(capsys):
    with SweepTable([config.run_id() for config in CONFIGS]) as table:
        for config in CONFIGS:
            table.show(SweptRun(config, "submitted"))
        assert "2 submitted" in capsys.readouterr().err
        for config in CONFIGS:
            table.show(SweptRun(config, "running", fraction=0.25))
        said = capsys.readouterr().err
        assert "2 at work 25% 25%" in said
