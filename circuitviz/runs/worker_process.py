"""The app's end of a worker process."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, cast

from circuitviz.runs.job import Outcome

__all__ = ["WorkerProcess"]

OUTCOME_FIELDS = tuple(field.name for field in fields(Outcome))
EXIT_TIMEOUT = 10.0  # seconds a worker may take to end before it is killed


class WorkerProcess:
    """A running worker: takes one job at a time.

    A process of its own and not `multiprocessing`: under `streamlit run` there is no `__main__`
    that a child could import.

    Args:
        runs: The runs folder it serves.
        discover: What it carries out for a discovery, as `module:function`.
        tune: What it carries out for a tuning.
    """

    def __init__(self, runs: Path, discover: str, tune: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "circuitviz.runs.worker", str(runs.absolute()), discover, tune],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            # Ctrl-C in the terminal is for the app; the worker ends with its standard input.
            start_new_session=True,
        )
        self._stopped = False
        self._requests = cast(IO[str], self._process.stdin)
        self._events = cast(IO[str], self._process.stdout)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def perform(self, job_id: str) -> Outcome | None:
        """Carry out one job, however long it takes; None if the worker died before it began."""
        if not self._send({"job_id": job_id}) or self._receive() is None:
            return None
        ended = self._receive()
        if ended is None:
            return Outcome("failed", error=self.cause_of_death())
        return Outcome(**{name: ended[name] for name in OUTCOME_FIELDS})

    def cause_of_death(self) -> str:
        """Why the process has ended, in one line; waits for its end."""
        code = self._wait()
        if self._stopped:
            return "circuitviz was closed while this job was running; start it again"
        if code >= 0:
            return f"the worker process ended with exit code {code}; start it again"
        known = -code in {int(one) for one in signal.Signals}
        name = signal.Signals(-code).name if known else f"signal {-code}"
        hint = " (often a lack of memory)" if name == "SIGKILL" else ""
        return f"the worker process was ended by {name}{hint}; start it again"

    def stop(self) -> None:
        """End the process; what is being saved is saved first."""
        self._stopped = True
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        self._wait()

    def discard(self) -> None:
        """Let go of the pipes of a process that has ended."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        self._events.close()

    def _wait(self) -> int:
        try:
            return self._process.wait(EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _send(self, message: dict[str, Any]) -> bool:
        try:
            self._requests.write(json.dumps(message) + "\n")
            self._requests.flush()
        except (BrokenPipeError, ValueError):
            # Dead already, or stopped a moment ago.
            return False
        return True

    def _receive(self) -> dict[str, Any] | None:
        try:
            line = self._events.readline()
        except ValueError:
            # Discarded by another thread: the process had ended.
            return None
        try:
            return json.loads(line) if line.endswith("\n") else None
        except ValueError:
            # Not one of ours: the process is not to be trusted any more.
            self._process.kill()
            return None
