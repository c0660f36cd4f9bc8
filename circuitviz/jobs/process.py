"""A running worker, as the process that started it sees it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Any, cast

DISCOVER = "circuitviz.runs.discover:run_discovery"
TUNE = "circuitviz.runs.tune:run_tuning"
EXIT_TIMEOUT = 10.0  # seconds a worker may take to end before it is killed


class WorkerProcess:
    """A process that carries out one request at a time; see `circuitviz.jobs.worker`.

    A process of its own and not `multiprocessing`: under `streamlit run` there is no `__main__`
    that a child could import.

    Args:
        discover: What it carries out for a discovery, as `module:function`.
        tune: What it carries out for a tuning.
        environment: Environment variables that it has besides this process's own.
    """

    def __init__(
        self, discover: str = DISCOVER, tune: str = TUNE, environment: Mapping[str, str] = {}
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "circuitviz.jobs.worker", discover, tune],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, **environment},
            # Ctrl-C in the terminal is for this process; the worker ends with its standard input.
            start_new_session=True,
        )
        self.stopped = False
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

    def events(self, request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """What the worker says to a request; the last one is `ended`, unless it dies before."""
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
        except (BrokenPipeError, ValueError):
            # Dead already, or stopped a moment ago.
            return
        while event := self._receive():
            yield event
            if event["event"] == "ended":
                return

    def cause_of_death(self) -> str:
        """Why the process has ended, in one line; waits for its end."""
        code = self._wait()
        if code >= 0:
            return f"the worker process ended with exit code {code}"
        known = -code in set(signal.Signals)
        name = signal.Signals(-code).name if known else f"signal {-code}"
        hint = " (often a lack of memory)" if name == "SIGKILL" else ""
        return f"the worker process was ended by {name}{hint}"

    def stop(self) -> None:
        """End the process; what is being saved is saved first."""
        self.stopped = True
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
