"""A submitted discovery or tuning and how far it is, and the folder that remembers both.

    job.json        what was asked, and the state; written by the process that submitted it
    progress.json   how far it is; written by the worker
    ticket          still waiting: whoever removes this file decides what becomes of the job
    cancel          the user pressed Stop while it was running
    error.txt       the traceback, where there is one
    log.txt         what libraries printed meanwhile
    owner           locked by the process that submitted it, for as long as it lives

Every file is replaced in one step, so that a reader in any process sees a whole one.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from circuitviz.errors import CircuitvizError, ConfigError, JobCancelledError, JobNotFoundError
from circuitviz.files import whole_file
from circuitviz.jobs.progress import JobProgress
from circuitviz.runs.config import DiscoveryConfig, TuningConfig

JOBS = ".jobs"  # inside the runs folder

JobKind = Literal["discovery", "tuning"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
JobConfig = DiscoveryConfig | TuningConfig


@dataclass(frozen=True)
class Job:
    """One submitted discovery or tuning at one moment.

    Attributes:
        submitted: Unix seconds, as are `started` and `finished`.
        run_id: The saved run, once a discovery's state is `done`.
        tuning_id: The saved tuning, once a tuning's state is `done`.
        error: One line saying why, once the state is `failed`.
        stopping: Cancelled, and about to stop after its current step.
    """

    job_id: str
    config: JobConfig
    state: JobState
    submitted: float
    started: float | None = None
    finished: float | None = None
    progress: JobProgress | None = None
    run_id: str | None = None
    tuning_id: str | None = None
    error: str | None = None
    stopping: bool = False

    @property
    def kind(self) -> JobKind:
        """What was asked for."""
        return "tuning" if isinstance(self.config, TuningConfig) else "discovery"

    @property
    def discovery(self) -> DiscoveryConfig:
        """The configuration of a discovery.

        Raises:
            ConfigError: The job is a tuning.
        """
        if isinstance(self.config, TuningConfig):
            raise ConfigError(f"job {self.job_id} is a tuning, not a discovery; choose another job")
        return self.config

    @property
    def tuning(self) -> TuningConfig:
        """The configuration of a tuning.

        Raises:
            ConfigError: The job is a discovery.
        """
        if isinstance(self.config, DiscoveryConfig):
            raise ConfigError(f"job {self.job_id} is a discovery, not a tuning; choose another job")
        return self.config

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("queued", "running")

    @property
    def eta(self) -> float | None:
        """Seconds left at the pace so far; None while nothing can be said."""
        progress = self.progress
        if self.state != "running" or progress is None or progress.fraction <= progress.resumed:
            return None
        done, left = progress.fraction - progress.resumed, 1 - progress.fraction
        return progress.elapsed * left / done


@dataclass(frozen=True)
class JobOutcome:
    """How a job that was started has ended."""

    state: Literal["done", "failed", "cancelled"]
    run_id: str | None = None
    tuning_id: str | None = None
    error: str | None = None


class JobFolder:
    """The folder of one job.

    Args:
        path: `<runs>/.jobs/<job_id>`.

    Attributes:
        runs: The runs folder that the job belongs to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = path.parent.parent
        self.cancel_flag = path / "cancel"
        self.error_file = path / "error.txt"
        self.log_file = path / "log.txt"
        self._ticket = path / "ticket"
        self._owner = FileLock(path / "owner", blocking=False, thread_local=False)

    @classmethod
    def create(cls, path: Path, config: JobConfig) -> JobFolder:
        """Record a new job, waiting, that belongs to this process while it keeps the folder."""
        path.mkdir(parents=True)
        folder = cls(path)
        folder._owner.acquire()
        folder._ticket.touch()
        folder.save(Job(path.name, config, "queued", submitted=time.time()))
        return folder

    def save(self, job: Job) -> None:
        """Record what was asked and the job's state."""
        data = asdict(replace(job, progress=None))
        # These have files of their own.
        del data["progress"], data["stopping"]
        _write(self.path / "job.json", {"kind": job.kind, **data})

    def save_progress(self, progress: JobProgress) -> None:
        """Record how far the job is."""
        _write(self.path / "progress.json", asdict(progress))

    def load(self) -> Job:
        """Read the job; one whose process has gone reads as failed.

        Raises:
            JobNotFoundError: There is none here, or its record cannot be read.
        """
        try:
            job = self._record()
            stopping = job.state == "running" and self.cancel_flag.exists()
            job = replace(job, progress=self._progress(), stopping=stopping)
        except (CircuitvizError, KeyError, OSError, TypeError, ValueError) as error:
            raise JobNotFoundError(f"no job {self.path.name!r}; it may be forgotten") from error
        if job.active and self._is_abandoned():
            error = "the app that ran this job has stopped; start it again"
            return replace(job, state="failed", error=error)
        return job

    def take_ticket(self) -> bool:
        """Decide what becomes of a waiting job: true for exactly one caller of any process."""
        try:
            self._ticket.unlink()
        except FileNotFoundError:
            return False
        return True

    def raise_if_cancelled(self) -> None:
        """Stop the work on a running job that somebody has cancelled.

        Raises:
            JobCancelledError: Somebody has.
        """
        if self.cancel_flag.exists():
            raise JobCancelledError(f"job {self.path.name} was stopped")

    def delete(self) -> None:
        """Remove every trace of the job, its record first."""
        (self.path / "job.json").unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)

    def _record(self) -> Job:
        data = json.loads((self.path / "job.json").read_text(encoding="utf-8"))
        kinds = {"discovery": DiscoveryConfig, "tuning": TuningConfig}
        return Job(config=kinds[data.pop("kind")].from_json(data.pop("config")), **data)

    def _progress(self) -> JobProgress | None:
        path = self.path / "progress.json"
        if not path.exists():
            return None
        return JobProgress(**json.loads(path.read_text(encoding="utf-8")))

    def _is_abandoned(self) -> bool:
        """Whether the process that submitted it is gone, and with it the lock."""
        if self._owner.is_locked:
            return False
        try:
            with self._owner:
                return True
        except OSError:
            # Held by another process, or unreadable for this one.
            return False


def job_folders(jobs: Path) -> Iterator[JobFolder]:
    """The folders of all recorded jobs under `<runs>/.jobs`, in no order."""
    return (JobFolder(record.parent) for record in jobs.glob("*/job.json"))


def find_job(jobs: Path, job_id: str) -> JobFolder:
    """The folder of one job.

    Raises:
        JobNotFoundError: There is no job under that id.
    """
    path = jobs / job_id
    if path.parent != jobs or not (path / "job.json").is_file():
        raise JobNotFoundError(f"no job {job_id!r}; it may be forgotten")
    return JobFolder(path)


def _write(path: Path, data: Mapping[str, Any]) -> None:
    with whole_file(path) as draft:
        draft.write_text(json.dumps(data), encoding="utf-8")
