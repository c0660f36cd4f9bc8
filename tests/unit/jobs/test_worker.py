from __future__ import annotations

import errno
from pathlib import Path

import pytest

from circuitviz.jobs.job import JobFolder, JobOutcome
from circuitviz.jobs.worker import Worker, be_considerate
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import RunStore
from tests.unit.jobs.conftest import DISCOVER, TUNE


def job_folder(runs: Path, model: str) -> JobFolder:
    return JobFolder.create(runs / ".jobs" / "one", DiscoveryConfig(model=model))


def test_a_job_ends_in_a_saved_run(tmp_path):
    folder = job_folder(tmp_path, "instant")
    run_id = folder.load().config.run_id()
    assert Worker(DISCOVER, TUNE).perform(folder) == JobOutcome("done", run_id=run_id)
    assert RunStore(tmp_path).ids() == [run_id]


def test_an_error_of_ours_is_its_message_on_one_line(tmp_path):
    folder = job_folder(tmp_path, "refused")
    outcome = Worker(DISCOVER, TUNE).perform(folder)
    assert outcome == JobOutcome("failed", error="no such thing; try another")
    assert not folder.error_file.exists()
    assert RunStore(tmp_path).ids() == []


def test_a_bug_is_named_and_its_traceback_kept(tmp_path):
    folder = job_folder(tmp_path, "bug")
    outcome = Worker(DISCOVER, TUNE).perform(folder)
    message = f"ValueError: two lines (the whole error is in {folder.error_file})"
    assert outcome == JobOutcome("failed", error=message)
    assert "fake_discovery.py" in folder.error_file.read_text()


def test_a_job_on_a_full_disk_fails_and_says_so(tmp_path, monkeypatch):
    folder = job_folder(tmp_path, "instant")

    def refuse(*given, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", refuse)
    outcome = Worker(DISCOVER, TUNE).perform(folder)
    assert outcome == JobOutcome("failed", error="OSError: [Errno 28] No space left on device")


def test_a_job_cancelled_before_it_begins_does_nothing(tmp_path):
    folder = job_folder(tmp_path, "instant")
    folder.cancel_flag.touch()
    assert Worker(DISCOVER, TUNE).perform(folder) == JobOutcome("cancelled")
    assert folder.load().progress is None
    assert RunStore(tmp_path).ids() == []


def test_what_a_job_prints_goes_to_its_log(runner):
    job = runner.wait(runner.submit(DiscoveryConfig(model="noisy")), 60)
    assert job.state == "done"
    log = runner.folder / ".jobs" / job.job_id / "log.txt"
    assert log.read_text() == "a library talks\n"


@pytest.mark.parametrize(("cores", "threads"), [(1, "1"), (2, "1"), (8, "7")])
def test_one_core_is_left_to_the_app(monkeypatch, cores, threads):
    environment: dict[str, str] = {}
    monkeypatch.setattr("os.nice", lambda by: by)
    monkeypatch.setattr("os.environ", environment)
    monkeypatch.setattr("circuitviz.jobs.worker.available_cores", lambda: cores)
    be_considerate()
    assert environment == {"OMP_NUM_THREADS": threads}


def test_a_thread_count_the_user_has_set_stays(monkeypatch):
    environment = {"OMP_NUM_THREADS": "3"}
    monkeypatch.setattr("os.nice", lambda by: by)
    monkeypatch.setattr("os.environ", environment)
    be_considerate()
    assert environment == {"OMP_NUM_THREADS": "3"}
