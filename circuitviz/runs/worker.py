"""The process that learns masks and tunes models, so that the app never does.

    python -m circuitviz.runs.worker RUNS_FOLDER DISCOVER TUNE

DISCOVER and TUNE each name a function, as `module:function`.

Reads one JSON object per line from standard input, `{"job_id": ...}`, and answers each with two
lines on standard output: `{"event": "started"}`, then `{"event": "ended", "state": ...}` with the
other fields of an `Outcome`.  It ends when its standard input does, and so with the app.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import queue
import sys
import threading
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TextIO

from circuitviz.errors import CircuitvizError, JobCancelledError
from circuitviz.paths import EMBEDDED_RUNS
from circuitviz.quiet import quiet_libraries
from circuitviz.runs.config import DiscoveryConfig, TuningConfig
from circuitviz.runs.job import JOBS, JobFolder, Outcome, find_job
from circuitviz.runs.progress import Progress, ProgressWriter, Report
from circuitviz.runs.store import Run, RunStore
from circuitviz.runs.tuning_store import Tuning, TuningStore

NICENESS = 10  # of 19: the app stays responsive beside it


class Discover(Protocol):
    """What a worker carries out; `circuitviz.runs.discover.discover` is one."""

    def __call__(self, config: DiscoveryConfig, *, report: Report) -> Run:
        """Find a circuit, and say how far it is on the way."""
        ...


class Tune(Protocol):
    """The same for a tuning; `circuitviz.runs.tune.tune` is one."""

    def __call__(self, config: TuningConfig, *, run: Run, report: Report, kept: Path) -> Tuning:
        """Tune the circuit of a run; finished epochs are kept in `kept`, to go on from there."""
        ...


class Worker:
    """Carries out the jobs of one runs folder, one after the other.

    Args:
        runs: The runs folder; finished runs and tunings are saved there.
        discover: What to carry out for a discovery, as `module:function`.
        tune: What to carry out for a tuning.
    """

    def __init__(self, runs: Path, discover: str, tune: str) -> None:
        self._runs = runs
        self._discover = discover
        self._tune = tune
        # Held while files are written: the process does not end in the middle of one.
        self._writing = threading.Lock()

    def serve(self, requests: TextIO, events: TextIO) -> None:
        """Carry out jobs until `requests` ends; then the process ends at once.

        What a job prints goes to its log.
        """
        waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(requests, waiting), daemon=True).start()
        # The slow imports, ahead of the first job; where they fail, that job fails and says why.
        with contextlib.suppress(Exception):
            import_function(self._discover)
        while True:
            folder = find_job(self._runs / JOBS, json.loads(waiting.get())["job_id"])
            send(events, {"event": "started"})
            redirect_output(folder.log_file)
            send(events, {"event": "ended", **asdict(self.perform(folder))})

    def perform(self, folder: JobFolder) -> Outcome:
        """Carry out one job and save what it found."""
        progress = ProgressWriter(folder)

        def report(latest: Progress) -> None:
            folder.raise_if_cancelled()
            with self._writing:
                progress.add(latest)

        try:
            folder.raise_if_cancelled()
            config = folder.load().config
            if isinstance(config, TuningConfig):
                return self._perform_tuning(config, report)
            return self._perform_discovery(config, report)
        except JobCancelledError:
            return Outcome("cancelled")
        except Exception as error:
            return self._failure(folder, error)
        finally:
            # Where the disk is full the job ends all the same, and says why.
            with self._writing, contextlib.suppress(OSError):
                progress.flush()

    def _perform_discovery(self, config: DiscoveryConfig, report: Report) -> Outcome:
        discover: Discover = import_function(self._discover)
        run = discover(config, report=report)
        report(Progress("save", fraction=1.0))
        with self._writing:
            RunStore(self._runs).save(run)
        return Outcome("done", run_id=run.run_id)

    def _perform_tuning(self, config: TuningConfig, report: Report) -> Outcome:
        run = RunStore(self._runs, shipped=(EMBEDDED_RUNS,)).load(config.run)
        store = TuningStore(self._runs)
        tune: Tune = import_function(self._tune)
        tuning = tune(config, run=run, report=report, kept=store.kept(config))
        report(Progress("save", fraction=1.0))
        with self._writing:
            store.save(tuning)
        return Outcome("done", tuning_id=tuning.tuning_id)

    def _failure(self, folder: JobFolder, error: Exception) -> Outcome:
        if isinstance(error, CircuitvizError):
            return Outcome("failed", error=one_line(str(error)))
        said = f"{type(error).__name__}: {error}"
        with self._writing, contextlib.suppress(OSError):
            folder.error_file.write_text(traceback.format_exc(), encoding="utf-8")
            said += f" (the whole error is in {folder.error_file})"
        return Outcome("failed", error=one_line(said))

    def _listen(self, requests: TextIO, waiting: queue.SimpleQueue[str]) -> None:
        for line in requests:
            waiting.put(line)
        with self._writing:
            os._exit(0)


def import_function(target: str) -> Any:
    """The function that `module:function` names."""
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)


def be_considerate() -> None:
    """Give way to the app, and leave it a core where there is more than one.

    OpenMP threads wait for the slowest of them, so one that shares its core with the app slows
    all.  A thread count that the user has set stays.
    """
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() - 1)))


def available_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def take_stdout() -> TextIO:
    """Standard output for our events alone; what others print goes to standard error."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events


def redirect_output(log: Path) -> None:
    """Send all that is printed from now on to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


def send(events: TextIO, event: dict[str, Any]) -> None:
    """Write one event."""
    events.write(json.dumps(event) + "\n")
    events.flush()


def one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())


def main(arguments: list[str]) -> None:
    """Serve the runs folder with the two functions that the arguments name."""
    runs, discover, tune = arguments
    events = take_stdout()
    faulthandler.enable()
    quiet_libraries()
    be_considerate()
    Worker(Path(runs), discover, tune).serve(sys.stdin, events)


if __name__ == "__main__":
    main(sys.argv[1:])
