"""Discoveries and tunings in a warm worker process: submit one, watch it, stop it, find it."""

from __future__ import annotations

import atexit
import contextlib
import secrets
import threading
import time
from collections import deque
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType

from circuitviz.errors import CircuitvizError, ConfigError, JobNotFoundError
from circuitviz.jobs.job import JOBS, Job, JobConfig, JobFolder, JobOutcome, find_job, job_folders
from circuitviz.jobs.process import DISCOVER, TUNE, WorkerProcess

_CLOSED = "circuitviz was closed before this job could run; start it again"


class JobRunner:
    """Carries out discoveries and tunings, one at a time, in the order they were submitted.

    Everything a caller sees is read from disk, so other processes and later ones see the same; only
    a state that cannot be written, as on a full disk, is known to this runner alone.
    All methods may be called from any thread, and none waits for one to end, `wait` aside.

    Args:
        folder: The runs folder; jobs are kept in `.jobs/<job_id>/` inside it.
        discover: What the worker carries out for a discovery, as `module:function`.
        tune: What it carries out for a tuning.
    """

    def __init__(self, folder: Path, *, discover: str = DISCOVER, tune: str = TUNE) -> None:
        self.folder = folder
        self._jobs = folder / JOBS
        self._targets = (discover, tune)
        self._changed = threading.Condition()
        # Whoever holds a folder owns its job: a job whose owner is gone reads as failed.
        self._waiting: deque[JobFolder] = deque()
        self._unwritten: dict[str, Job] = {}
        self._worker: WorkerProcess | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def __enter__(self) -> JobRunner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, if one has been started."""
        with self._changed:
            return self._worker.pid if self._worker else None

    def warm_up(self) -> None:
        """Start the worker now, so that the first job need not wait for its imports."""
        with self._changed:
            self._open()
            self._live_worker()

    def submit(self, config: JobConfig) -> str:
        """Queue a discovery or a tuning and return its job id.

        Raises:
            ConfigError: The runs folder cannot be written.
        """
        with self._changed:
            self._open()
        job_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        try:
            folder = JobFolder.create(self._jobs / job_id, config)
        except OSError as error:
            raise ConfigError(
                f"cannot keep runs in {self.folder} ({error.strerror}); choose another folder"
            ) from error
        with self._changed:
            self._waiting.append(folder)
            self._changed.notify_all()
        return job_id

    def cancel(self, job_id: str) -> None:
        """Stop a job: a waiting one never starts, a running one stops after its current step.

        A job that has ended stays as it is.

        Raises:
            JobNotFoundError: There is no job under that id.
            ConfigError: The runs folder cannot be written.
        """
        folder = find_job(self._jobs, job_id)
        job = self._read(folder)
        if not job.active:
            return
        try:
            if folder.take_ticket():
                self._save(folder, replace(job, state="cancelled", finished=time.time()))
            else:
                folder.cancel_flag.touch()
        except OSError as error:
            raise ConfigError(
                f"cannot stop job {job_id}: {self.folder} cannot be written ({error.strerror}); "
                "make room there and stop it again, or close circuitviz"
            ) from error

    def job(self, job_id: str) -> Job:
        """A job as it is now.

        Raises:
            JobNotFoundError: There is no job under that id.
        """
        return self._read(find_job(self._jobs, job_id))

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Wait until a job submitted here has ended, or `timeout` seconds have passed.

        Returns:
            The job as it is then.

        Raises:
            JobNotFoundError: There is no job under that id.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self.job(job_id).active, timeout)
        return self.job(job_id)

    def jobs(self) -> list[Job]:
        """All jobs of the runs folder, the newest first."""
        jobs = []
        for folder in job_folders(self._jobs):
            # Another process may forget one meanwhile.
            with contextlib.suppress(JobNotFoundError):
                jobs.append(self._read(folder))
        return sorted(jobs, key=lambda job: (job.submitted, job.job_id), reverse=True)

    def forget(self, job_id: str) -> None:
        """Remove the record of a job that has ended; what it saved stays.

        Raises:
            JobNotFoundError: There is no job under that id.
            ConfigError: It waits or runs.
        """
        job = self.job(job_id)
        if job.active:
            raise ConfigError(f"job {job_id} is {job.state}; cancel it before forgetting it")
        find_job(self._jobs, job_id).delete()
        self._unwritten.pop(job_id, None)

    def close(self) -> None:
        """End the worker; jobs that wait or run become failed.  Further calls do nothing."""
        with self._changed:
            self._closed = True
            worker, thread = self._worker, self._thread
            self._changed.notify_all()
        if worker is not None:
            worker.stop()
        if thread is not None:
            thread.join()
        if worker is not None:
            worker.discard()
        atexit.unregister(self.close)

    def _live_worker(self) -> WorkerProcess | None:
        with self._changed:
            if self._closed:
                return None
            if self._worker is not None and not self._worker.alive:
                self._worker.discard()
                self._worker = None
            if self._worker is None:
                self._worker = WorkerProcess(*self._targets)
            return self._worker

    def _open(self) -> None:
        if self._closed:
            raise ConfigError("this job runner is closed; make a new one")
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="jobs", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                folder = self._waiting.popleft()
            # A record that was removed by hand leaves nothing to do and nowhere to say so.
            with contextlib.suppress(CircuitvizError, OSError):
                job = folder.load()
                if not folder.take_ticket():
                    continue
                job = replace(job, state="running", started=time.time())
                self._save(folder, job)
                try:
                    outcome = self._carry_out(folder)
                except Exception as error:  # whatever it is, this job ends and the next one starts
                    outcome = JobOutcome("failed", error=f"{type(error).__name__}: {error}")
                self._save(folder, replace(job, finished=time.time(), **asdict(outcome)))

    def _save(self, folder: JobFolder, job: Job) -> None:
        with self._changed:
            try:
                folder.save(job)
                self._unwritten.pop(job.job_id, None)
            except OSError:
                self._unwritten[job.job_id] = job
            self._changed.notify_all()

    def _read(self, folder: JobFolder) -> Job:
        written = folder.load()
        job = self._unwritten.get(written.job_id)
        if job is None:
            return written
        stopping = job.state == "running" and folder.cancel_flag.exists()
        return replace(job, progress=written.progress, stopping=stopping)

    def _carry_out(self, folder: JobFolder) -> JobOutcome:
        error = _CLOSED
        # Twice: the first worker may have died while it was idle.
        for _ in range(2):
            worker = self._live_worker()
            if worker is None:
                break
            events = list(worker.events({"job": str(folder.path.absolute())}))
            if events and "outcome" in events[-1]:
                return JobOutcome(**events[-1]["outcome"])
            cause = worker.cause_of_death()
            if worker.stopped:
                cause = "circuitviz was closed while this job was running"
            error = f"{cause}; start it again"
            if events:
                break
        return JobOutcome("failed", error=error)
