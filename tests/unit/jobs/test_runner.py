from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from circuitviz.errors import ConfigError, JobNotFoundError
from circuitviz.jobs.job import Job, JobFolder
from circuitviz.jobs.runner import JobRunner
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import RunStore
from tests.unit.jobs.conftest import DISCOVER, PATIENCE, Gate

INSTANT = DiscoveryConfig(model="instant")


def ended(runner: JobRunner, job_id: str) -> Job:
    job = runner.wait(job_id, PATIENCE)
    assert not job.active, f"{job} did not end in {PATIENCE} s"
    return job


def test_a_submitted_discovery_is_done_and_its_run_saved(runner: JobRunner):
    job = ended(runner, runner.submit(INSTANT))

    assert (job.state, job.run_id, job.error) == ("done", INSTANT.run_id(), None)
    assert job.started is not None
    assert job.finished is not None
    assert job.submitted <= job.started <= job.finished
    assert job.progress is not None
    assert (job.progress.stage, job.progress.fraction) == ("save", 1.0)
    assert job.progress.losses == {"removal": [0.25]}
    assert RunStore(runner.folder).load(INSTANT.run_id()).config == INSTANT


def test_a_running_job_is_found_by_another_runner(runner: JobRunner, gate: Gate):
    job_id = runner.submit(gate.config())
    gate.wait_until_entered()
    assert gate.step()

    (job,) = JobRunner(runner.folder).jobs()

    assert (job.job_id, job.config, job.state) == (job_id, gate.config(), "running")
    assert job.active
    assert job.progress is not None
    assert (job.progress.step, job.progress.steps, job.progress.fraction) == (1, 4, 0.25)
    assert job.progress.loss_steps == [1]
    assert job.progress.head_scores is not None
    assert job.progress.head_scores[3][7] == 31.0
    assert job.eta == pytest.approx(3 * job.progress.elapsed)
    gate.end()
    assert ended(runner, job_id).state == "done"


def test_a_running_job_stops_at_its_next_report(runner: JobRunner, gate: Gate):
    job_id = runner.submit(gate.config())
    gate.wait_until_entered()
    assert gate.step()
    assert not runner.job(job_id).stopping

    runner.cancel(job_id)

    assert runner.job(job_id).stopping
    assert not gate.step()
    job = ended(runner, job_id)
    assert (job.state, job.run_id, job.error, job.stopping) == ("cancelled", None, None, False)
    assert RunStore(runner.folder).ids() == []


def test_a_waiting_job_that_is_cancelled_never_starts(runner: JobRunner, gate: Gate):
    first = runner.submit(gate.config())
    gate.wait_until_entered()
    second = runner.submit(INSTANT)
    assert runner.job(second).state == "queued"

    runner.cancel(second)

    assert runner.job(second).state == "cancelled"
    gate.end()
    third = runner.submit(DiscoveryConfig(model="instant", seed=3))
    assert ended(runner, first).state == "done"
    assert ended(runner, third).state == "done"
    job = runner.job(second)
    assert (job.state, job.started, job.progress) == ("cancelled", None, None)


def test_another_runner_can_cancel(runner: JobRunner, gate: Gate):
    other = JobRunner(runner.folder)
    first, second = runner.submit(gate.config()), runner.submit(INSTANT)
    gate.wait_until_entered()

    other.cancel(second)
    other.cancel(first)

    assert runner.job(second).state == "cancelled"
    assert not gate.step()
    assert ended(runner, first).state == "cancelled"


def test_cancelling_a_job_that_has_ended_changes_nothing(runner: JobRunner):
    job = ended(runner, runner.submit(INSTANT))
    runner.cancel(job.job_id)
    assert runner.job(job.job_id) == job


def test_a_killed_worker_fails_its_job_and_the_next_ones_run(runner: JobRunner, gate: Gate):
    first, second = runner.submit(gate.config()), runner.submit(INSTANT)
    gate.wait_until_entered()
    killed = runner.worker_pid
    assert killed is not None

    os.kill(killed, signal.SIGKILL)

    job = ended(runner, first)
    assert (job.state, job.run_id) == ("failed", None)
    assert job.error is not None
    assert "SIGKILL" in job.error
    assert ended(runner, second).state == "done"
    assert runner.worker_pid != killed
    assert ended(runner, runner.submit(INSTANT)).state == "done"


def test_a_worker_killed_while_idle_is_replaced(runner: JobRunner):
    assert ended(runner, runner.submit(INSTANT)).state == "done"
    assert runner.worker_pid is not None
    os.kill(runner.worker_pid, signal.SIGKILL)
    assert ended(runner, runner.submit(INSTANT)).state == "done"


def test_a_worker_that_exits_fails_its_job(runner: JobRunner):
    job = ended(runner, runner.submit(DiscoveryConfig(model="exit")))
    assert job.state == "failed"
    assert job.error == "the worker process ended with exit code 3; start it again"


def test_one_worker_carries_out_all_jobs(runner: JobRunner):
    runner.warm_up()
    warm = runner.worker_pid
    for seed in (0, 1):
        ended(runner, runner.submit(DiscoveryConfig(model="instant", seed=seed)))
    assert runner.worker_pid == warm


def test_a_discovery_that_cannot_be_imported_fails_with_the_reason(tmp_path):
    with JobRunner(tmp_path, discover="no_such_module:discover") as runner:
        job = ended(runner, runner.submit(INSTANT))
    assert job.error is not None
    assert job.error.startswith("ModuleNotFoundError: No module named 'no_such_module' (the whole ")


@contextmanager
def another_app(runs: Path, gate: Gate) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has submitted two gated jobs, of which the first has begun."""
    script = (
        "import sys; from pathlib import Path; "
        "from circuitviz.runs.config import DiscoveryConfig; "
        "from circuitviz.jobs.runner import JobRunner; "
        "runner = JobRunner(Path(sys.argv[1]), discover=sys.argv[2]); "
        "config = DiscoveryConfig('gated', prompts=sys.argv[3]); "
        "runner.submit(config), runner.submit(config); "
        "print('submitted', flush=True); "
        "sys.stdin.read()"
    )
    arguments = [str(runs), DISCOVER, str(gate.config().prompts)]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as app:
        assert app.stdout is not None
        assert app.stdout.readline() == b"submitted\n"
        gate.wait_until_entered()
        yield app
        app.kill()


def test_jobs_of_an_app_that_was_killed_read_as_failed_and_its_worker_ends(tmp_path, gate: Gate):
    observer = JobRunner(tmp_path)
    with another_app(tmp_path, gate):
        assert sorted(job.state for job in observer.jobs()) == ["queued", "running"]

    gate.wait_until_left()
    for job in observer.jobs():
        assert job.state == "failed"
        assert job.error is not None
        assert "has stopped" in job.error


def test_a_job_belongs_to_the_process_that_holds_its_folder(tmp_path):
    folder = JobFolder.create(tmp_path / "one", INSTANT)
    assert folder.load().state == JobFolder(folder.path).load().state == "queued"
    del folder
    assert JobFolder(tmp_path / "one").load().state == "failed"


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this process, though not its worker, can write nothing."""

    def refuse(*given: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("write_text", "touch"):
        monkeypatch.setattr(Path, name, refuse)


def test_a_job_that_ends_on_a_full_disk_has_ended(runner: JobRunner, gate: Gate, monkeypatch):
    job_id, waiting = runner.submit(gate.config()), runner.submit(gate.config(seed=1))
    gate.wait_until_entered()
    with monkeypatch.context() as full:
        fill_disk(full)
        gate.end()
        job = ended(runner, job_id)
        assert (job.state, job.run_id) == ("done", gate.config().run_id())
        assert job in runner.jobs()
        gate.close()
        # The next one runs, though nobody can write down that it does.
        gate.wait_until_entered()
        assert gate.step()
        assert runner.job(waiting).state == "running"
    runner.cancel(waiting)
    assert runner.job(waiting).stopping
    assert not gate.step()
    assert ended(runner, waiting).state == "cancelled"
    assert JobRunner(runner.folder).job(waiting).state == "cancelled"


def test_stop_on_a_full_disk_stops_what_waits_and_says_what_it_cannot(
    runner: JobRunner, gate: Gate, monkeypatch
):
    running, waiting = runner.submit(gate.config()), runner.submit(INSTANT)
    gate.wait_until_entered()
    fill_disk(monkeypatch)
    runner.cancel(waiting)
    assert runner.job(waiting).state == "cancelled"
    with pytest.raises(ConfigError, match=r"cannot stop job .* \(No space left on device\)"):
        runner.cancel(running)
    assert runner.job(running).state == "running"
    gate.end()
    assert ended(runner, running).state == "done"
    runner.forget(running)
    assert [job.job_id for job in runner.jobs()] == [waiting]


def test_closing_ends_the_worker_and_fails_what_is_left(tmp_path, gate: Gate):
    runner = JobRunner(tmp_path, discover=DISCOVER)
    first, second = runner.submit(gate.config()), runner.submit(INSTANT)
    gate.wait_until_entered()
    pid = runner.worker_pid
    assert pid is not None

    runner.close()
    runner.close()

    assert not psutil.pid_exists(pid)
    for job_id, reason in ((first, "while this job was running"), (second, "before this job")):
        job = runner.job(job_id)
        assert job.state == "failed"
        assert job.error is not None
        assert reason in job.error
    with pytest.raises(ConfigError, match="closed"):
        runner.submit(INSTANT)


def test_jobs_are_listed_newest_first_and_can_be_forgotten(runner: JobRunner, gate: Gate):
    old = runner.submit(gate.config())
    gate.wait_until_entered()
    new = runner.submit(INSTANT)
    assert [job.job_id for job in runner.jobs()] == [new, old]
    for job_id in (old, new):
        with pytest.raises(ConfigError, match="cancel it"):
            runner.forget(job_id)
    gate.end()
    ended(runner, new)

    runner.forget(old)

    assert [job.job_id for job in runner.jobs()] == [new]
    assert not (runner.folder / ".jobs" / old).exists()
    assert INSTANT.run_id() in RunStore(runner.folder).ids()


@pytest.mark.parametrize("job_id", ["", "no-such-job", "..", "../.jobs", "/", "a/b"])
def test_an_unknown_job_is_an_error(runner: JobRunner, job_id: str):
    for method in (runner.job, runner.cancel, runner.forget):
        with pytest.raises(JobNotFoundError, match="no job"):
            method(job_id)


def test_reading_starts_nothing_and_writes_nothing(tmp_path):
    runner = JobRunner(tmp_path / "runs")
    assert runner.jobs() == []
    assert runner.worker_pid is None
    assert not runner.folder.exists()


def test_a_runs_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with (
        JobRunner(tmp_path / "file", discover=DISCOVER) as runner,
        pytest.raises(ConfigError, match="cannot keep runs"),
    ):
        runner.submit(INSTANT)


def test_submitting_from_many_threads_loses_no_job(runner: JobRunner):
    job_ids: list[str] = []

    def submit(seed: int) -> None:
        job_ids.append(runner.submit(DiscoveryConfig(model="instant", seed=seed)))

    threads = [threading.Thread(target=submit, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(job_ids)) == 8
    assert {ended(runner, job_id).state for job_id in job_ids} == {"done"}
