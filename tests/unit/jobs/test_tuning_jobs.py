"""Tunings beside discoveries: one queue, one worker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from circuitviz.errors import ConfigError
from circuitviz.jobs.job import JobFolder, JobOutcome
from circuitviz.jobs.runner import Job, JobRunner
from circuitviz.jobs.worker import Worker
from circuitviz.runs.config import DiscoveryConfig, TuningConfig
from circuitviz.runs.store import RunStore
from circuitviz.runs.tuning_store import TuningStore
from tests.support.synthetic import backdoor_run
from tests.unit.jobs.conftest import DISCOVER, PATIENCE, TUNE, Gate

RUN = backdoor_run().run_id
REPAIR = TuningConfig(RUN, "repair")


def ended(runner: JobRunner, job_id: str) -> Job:
    job = runner.wait(job_id, PATIENCE)
    assert not job.active
    return job


def test_a_job_is_of_its_kind_and_comes_back_as_it():
    discovery, tuning = DiscoveryConfig(model="x"), REPAIR
    for config, kind in ((discovery, "discovery"), (tuning, "tuning")):
        assert Job("one", config, "queued", submitted=0.0).kind == kind
    with pytest.raises(ConfigError, match="is a tuning"):
        _ = Job("one", tuning, "queued", submitted=0.0).discovery
    with pytest.raises(ConfigError, match="is a discovery"):
        _ = Job("one", discovery, "queued", submitted=0.0).tuning


def test_a_recorded_tuning_is_read_again(tmp_path):
    assert JobFolder.create(tmp_path / "one", REPAIR).load().config == REPAIR


def test_a_tuning_ends_saved_and_what_was_kept_is_gone(tmp_path):
    RunStore(tmp_path).save(backdoor_run())
    folder = JobFolder.create(tmp_path / ".jobs" / "one", REPAIR)
    outcome = Worker(DISCOVER, TUNE).perform(folder)
    assert outcome == JobOutcome("done", tuning_id=REPAIR.tuning_id())
    store = TuningStore(tmp_path)
    assert store.ids_of(RUN) == [REPAIR.tuning_id()]
    assert not store.kept(REPAIR).exists()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (replace(REPAIR, size=999), "too large; try a smaller one"),
        (replace(REPAIR, run="no-such-run"), "no run 'no-such-run'"),
    ],
)
def test_a_tuning_that_cannot_be_carried_out_says_why(tmp_path, config, says):
    RunStore(tmp_path).save(backdoor_run())
    folder = JobFolder.create(tmp_path / ".jobs" / "one", config)
    outcome = Worker(DISCOVER, TUNE).perform(folder)
    assert outcome.state == "failed"
    assert says in str(outcome.error)


def test_a_tuning_waits_its_turn_and_one_that_was_stopped_goes_on(runner: JobRunner, gate: Gate):
    RunStore(runner.folder).save(backdoor_run())
    config = gate.tuning_config(RUN)
    first = runner.submit(config)
    gate.wait_until_entered()
    behind = runner.submit(DiscoveryConfig(model="instant"))
    assert gate.step()
    job = runner.job(first)
    assert job.progress is not None
    assert (job.progress.stage, job.progress.arm) == ("tune", "circuit")
    assert [point["safety_k"] for point in job.progress.curve] == [0, 16]
    assert job.progress.curve[0]["loss"] is None
    assert runner.job(behind).state == "queued"

    runner.cancel(first)
    assert not gate.step()
    stopped = ended(runner, first)
    assert (stopped.state, stopped.tuning_id) == ("cancelled", None)
    assert ended(runner, behind).run_id is not None
    assert TuningStore(runner.folder).ids() == []
    gate.close()

    second = runner.submit(config)
    gate.wait_until_entered()
    assert gate.step()
    gate.end()
    done = ended(runner, second)
    assert (done.state, done.tuning_id) == ("done", config.tuning_id())
    # One epoch before the stop, one after it.
    assert TuningStore(runner.folder).load(config.tuning_id()).metrics.plan.epochs == 2
