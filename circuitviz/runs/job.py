"""A submitted discovery or tuning and how far it is, and the folder that remembers both.

    job.json        what was asked, and the state; written by the process that submitted it
    progress.json   how far it is; written by the worker
    ticket          still waiting: whoever removes this file decides what becomes of the job
    cancel          the user pressed Stop while it was running
    error.txt       the traceback, where there is one
    log.txt         what libraries printed meanwhile

Every file is replaced in one step, so that a reader in any process sees a whole one.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import psutil

from circuitviz.errors import CircuitvizError, ConfigError, JobCancelledError, JobNotFoundError
from circuitviz.files import whole_file
from circuitviz.runs.config import DiscoveryConfig, TuningConfig

JOBS = ".jobs"  # inside the runs folder

JobKind = Literal["discovery", "tuning"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
JobConfig = DiscoveryConfig | TuningConfig

# Two readings of one process's start time differ by rounding; a reused pid differs by more.
START_TOLERANCE = 2.0  # seconds


@dataclass(frozen=True)
class JobProgress:
    """How far a running job is, and what it has found so far; JSON values only.

    Attributes:
        stage: What is being done (`circuitviz.runs.progress.Stage`).
        fraction: Share of the whole job that is done, in [0, 1].
        step: Optimiser steps done, of `steps`.
        losses: History of each training loss, one value per entry of `loss_steps`.
        loss_steps: The steps of the history, thinned to at most 400.
        top_units: Names of the units ranked highest now, best first.
        head_scores: [layers][heads].
        neuron_scores: [layers][bins], the highest score in each of at most 64 bins.
        edge: How many units it takes at the moment to make the behaviour begin to vanish.
        arm: The arm of a tuning that is at work.
        curve: The points of a tuning so far, keys `CURVE_COLUMNS` of
            `circuitviz.runs.tuning_store`; a loss that does not exist is None.
        elapsed: Seconds the worker has spent on this job.
        resumed: Share of the whole job that an earlier attempt did, which is part of `fraction`.
        detail: What exactly is being done, for people.
    """

    stage: str
    fraction: float
    step: int = 0
    steps: int = 0
    losses: dict[str, list[float]] = field(default_factory=dict)
    loss_steps: list[int] = field(default_factory=list)
    top_units: list[str] = field(default_factory=list)
    head_scores: list[list[float]] | None = None
    neuron_scores: list[list[float]] | None = None
    edge: float | None = None
    arm: str = ""
    curve: list[dict[str, Any]] = field(default_factory=list)
    elapsed: float = 0.0
    resumed: float = 0.0
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Every field, as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JobProgress:
        """The inverse of `to_json`."""
        return cls(**data)


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
class Outcome:
    """How a job that was started has ended."""

    state: Literal["done", "failed", "cancelled"]
    run_id: str | None = None
    tuning_id: str | None = None
    error: str | None = None


class JobFolder:
    """The folder of one job.

    Args:
        path: `<runs>/.jobs/<job_id>`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cancel_flag = path / "cancel"
        self.error_file = path / "error.txt"
        self.log_file = path / "log.txt"
        self._ticket = path / "ticket"

    @classmethod
    def create(cls, path: Path, config: JobConfig) -> JobFolder:
        """Record a new job, waiting, that belongs to this process."""
        path.mkdir(parents=True)
        folder = cls(path)
        folder._ticket.touch()
        folder.save(Job(path.name, config, "queued", submitted=time.time()))
        return folder

    def save(self, job: Job) -> None:
        """Record what was asked and the job's state."""
        data = asdict(replace(job, progress=None))
        # These have files of their own.
        del data["progress"], data["stopping"]
        record = {"kind": job.kind, **data, "owner": _this_process()}
        _write(self.path / "job.json", record)

    def save_progress(self, progress: JobProgress) -> None:
        """Record how far the job is."""
        _write(self.path / "progress.json", progress.to_json())

    def load(self) -> Job:
        """Read the job; one whose process has gone reads as failed.

        Raises:
            JobNotFoundError: There is none here, or its record cannot be read.
        """
        try:
            job, owner = self._record()
            stopping = job.state == "running" and self.cancel_flag.exists()
            job = replace(job, progress=self._progress(), stopping=stopping)
        except (CircuitvizError, KeyError, OSError, TypeError, ValueError) as error:
            raise JobNotFoundError(f"no job {self.path.name!r}; it may be forgotten") from error
        if job.active and not _is_alive(owner):
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

    def _record(self) -> tuple[Job, Mapping[str, float]]:
        data = json.loads((self.path / "job.json").read_text(encoding="utf-8"))
        owner = data.pop("owner")
        # A record that names no kind is a discovery's.
        kinds = {"discovery": DiscoveryConfig, "tuning": TuningConfig}
        config = kinds[data.pop("kind", "discovery")].from_json(data.pop("config"))
        return Job(config=config, **data), owner

    def _progress(self) -> JobProgress | None:
        path = self.path / "progress.json"
        if not path.exists():
            return None
        return JobProgress.from_json(json.loads(path.read_text(encoding="utf-8")))


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


@cache
def _this_process() -> dict[str, float]:
    pid = os.getpid()
    ticks = _start_ticks(pid)
    started = {"started": psutil.Process(pid).create_time()}
    return {"pid": pid, **started, **({} if ticks is None else {"ticks": ticks})}


def _is_alive(owner: Mapping[str, float]) -> bool:
    pid = int(owner["pid"])
    if "ticks" in owner:
        return _start_ticks(pid) == owner["ticks"]
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return False
    return abs(started - owner["started"]) < START_TOLERANCE


def _start_ticks(pid: int) -> int | None:
    """When a process began, in ticks since Linux did; None where it is gone, or on other systems.

    Its time of day moves there whenever the clock is set, and so says nothing.
    """
    try:
        said = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # Field 22 of proc_pid_stat(5); the second one, in brackets, may hold spaces and brackets.
    return int(said.rpartition(b")")[2].split()[19])
