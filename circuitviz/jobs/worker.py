"""The process that learns masks and tunes models, so that neither the app nor a sweep does.

    python -m circuitviz.jobs.worker DISCOVER TUNE

DISCOVER and TUNE each name a function, as `module:function`.

Reads one JSON object per line from standard input, `{"job": folder}` or `{"config": {...}}` of one
run of a sweep, and answers each on standard output: `{"event": "started"}`, of a sweep's run
`{"event": "progress", "fraction": ...}` now and then, and at last `{"event": "ended"}` with the
`outcome` of the job or the `answer` to the sweep.  It ends when its standard input does, and so
with the process that started it.
"""

from __future__ import annotations

import base64
import contextlib
import faulthandler
import importlib
import json
import os
import queue
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TextIO

from circuitviz.errors import CircuitvizError, JobCancelledError, RunFormatError
from circuitviz.files import EMBEDDED_RUNS
from circuitviz.jobs.job import JobFolder, JobOutcome
from circuitviz.jobs.progress import ProgressWriter
from circuitviz.progress import OnProgress, unwatched
from circuitviz.quiet import quiet_libraries
from circuitviz.runs.config import DiscoveryConfig, TuningConfig
from circuitviz.runs.progress import OnStage, Progress
from circuitviz.runs.store import RUN_FILES, Run, RunStore
from circuitviz.runs.tuning_store import Tuning, TuningStore

NICENESS = 10  # of 19: the app stays responsive beside it
MIN_PROGRESS_STEP = 0.01  # share of a sweep's run between two events


class Discover(Protocol):
    """What a worker carries out; `circuitviz.runs.discover.run_discovery` is one."""

    def __call__(self, config: DiscoveryConfig, *, on_progress: OnStage) -> Run:
        """Find a circuit, and say how far it is on the way."""
        ...


class Tune(Protocol):
    """The same for a tuning; `circuitviz.runs.tune.run_tuning` is one."""

    def __call__(
        self, config: TuningConfig, *, run: Run, on_progress: OnStage, kept: Path
    ) -> Tuning:
        """Tune the circuit of a run; finished epochs are kept in `kept`, to go on from there."""
        ...


class Worker:
    """Carries out jobs and runs of sweeps, one after the other.

    Args:
        discover: What to carry out for a discovery, as `module:function`.
        tune: What to carry out for a tuning.
    """

    def __init__(self, discover: str, tune: str) -> None:
        self._discover = discover
        self._tune = tune
        # Held while files are written: the process does not end in the middle of one.
        self._writing = threading.Lock()

    def serve(self, requests: TextIO, events: TextIO) -> None:
        """Carry out what is asked until `requests` ends; then the process ends at once.

        What a job prints goes to its log.
        """
        waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(requests, waiting), daemon=True).start()
        # The slow imports, ahead of the first job; where they fail, that job fails and says why.
        with contextlib.suppress(Exception):
            import_function(self._discover)
        while True:
            request = json.loads(waiting.get())
            send(events, {"event": "started"})
            if "config" in request:
                answer = carry_out(request["config"], self._discover, _event_sender(events))
                send(events, {"event": "ended", "answer": answer.to_json()})
            else:
                folder = JobFolder(Path(request["job"]))
                redirect_output(folder.log_file)
                send(events, {"event": "ended", "outcome": asdict(self.perform(folder))})

    def perform(self, folder: JobFolder) -> JobOutcome:
        """Carry out one job and save what it found in the runs folder of the job."""
        progress = ProgressWriter(folder)

        def on_progress(latest: Progress) -> None:
            folder.raise_if_cancelled()
            with self._writing:
                progress.add(latest)

        try:
            folder.raise_if_cancelled()
            config = folder.load().config
            if isinstance(config, TuningConfig):
                tunings = TuningStore(folder.runs)
                tune: Tune = import_function(self._tune)
                run = RunStore(folder.runs, shipped=(EMBEDDED_RUNS,)).load(config.run)
                kept = tunings.kept(config)
                tuning = tune(config, run=run, on_progress=on_progress, kept=kept)
                save = partial(tunings.save, tuning)
                outcome = JobOutcome("done", tuning_id=tuning.tuning_id)
            else:
                discover: Discover = import_function(self._discover)
                run = discover(config, on_progress=on_progress)
                save = partial(RunStore(folder.runs).save, run)
                outcome = JobOutcome("done", run_id=run.run_id)
            on_progress(Progress("save", fraction=1.0))
            with self._writing:
                save()
        except JobCancelledError:
            return JobOutcome("cancelled")
        except Exception as error:
            return self._failure(folder, error)
        else:
            return outcome
        finally:
            # Where the disk is full the job ends all the same, and says why.
            with self._writing, contextlib.suppress(OSError):
                progress.flush()

    def _failure(self, folder: JobFolder, error: Exception) -> JobOutcome:
        if isinstance(error, CircuitvizError):
            return JobOutcome("failed", error=one_line(str(error)))
        message = f"{type(error).__name__}: {error}"
        with self._writing, contextlib.suppress(OSError):
            folder.error_file.write_text(traceback.format_exc(), encoding="utf-8")
            message += f" (the whole error is in {folder.error_file})"
        return JobOutcome("failed", error=one_line(message))

    def _listen(self, requests: TextIO, waiting: queue.SimpleQueue[str]) -> None:
        for line in requests:
            waiting.put(line)
        with self._writing:
            os._exit(0)


@dataclass(frozen=True)
class WorkerAnswer:
    """What became of one run of a sweep.

    Attributes:
        seconds: How long it took.
        files: The finished run, as `pack_run` gives it; empty after an error.
        error: Why there is none, in one line; empty where there is one.
    """

    seconds: float = 0.0
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Every field, the files in base64."""
        files = {name: base64.b64encode(data).decode() for name, data in self.files.items()}
        return {"seconds": self.seconds, "files": files, "error": self.error}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WorkerAnswer:
        """The inverse of `to_json`."""
        files = {name: base64.b64decode(text) for name, text in data["files"].items()}
        return cls(data["seconds"], files, data["error"])


def carry_out(
    config: Mapping[str, Any], discover: str, on_progress: OnProgress = unwatched
) -> WorkerAnswer:
    """One run of a sweep, in a worker process or on a node of a cluster.

    The settings that go there and the finished run that comes back are plain data.  Models and
    data that the settings name by path must lie at that path there as well.

    Args:
        config: A `DiscoveryConfig`, as JSON values.
        discover: What to carry out, as `module:function`; an error of it is an answer as well.
        on_progress: Called with the share of the work that is done, in [0, 1].
    """
    started = time.monotonic()
    quiet_libraries()
    files, message = dict[str, bytes](), ""
    try:
        function: Discover = import_function(discover)
        run = function(
            DiscoveryConfig.from_json(config),
            on_progress=lambda progress: on_progress(progress.fraction),
        )
        files = pack_run(run)
    except CircuitvizError as error:
        message = one_line(str(error))
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        message = one_line(f"{type(error).__name__}: {error} ({where})")
    return WorkerAnswer(time.monotonic() - started, files, message)


def pack_run(run: Run) -> dict[str, bytes]:
    """What a run's folder would hold: file name -> bytes."""
    with tempfile.TemporaryDirectory(prefix="circuitviz-") as folder:
        path = RunStore(Path(folder)).save(run)
        return {name: (path / name).read_bytes() for name in RUN_FILES}


def unpack_run(run_id: str, files: Mapping[str, bytes]) -> Run:
    """The inverse of `pack_run`.

    Raises:
        RunFormatError: These are not the files of a run of that id.
    """
    if sorted(files) != sorted(RUN_FILES):
        raise RunFormatError(f"a run has the files {', '.join(RUN_FILES)}; got {', '.join(files)}")
    with tempfile.TemporaryDirectory(prefix="circuitviz-") as folder:
        path = Path(folder) / run_id
        path.mkdir()
        for name, data in files.items():
            (path / name).write_bytes(data)
        run = RunStore(Path(folder)).load(run_id)
    if run.config.run_id() != run_id:
        raise RunFormatError(f"these files are of the run {run.config.run_id()}, not of {run_id}")
    return run


def import_function(target: str) -> Any:
    """The function that `module:function` names."""
    module, _, function = target.partition(":")
    return getattr(importlib.import_module(module), function)


def be_considerate() -> None:
    """Give way to the app, and leave it a core where there is more than one.

    OpenMP threads wait for the slowest of them, so one that shares its core with the app slows
    all.  A thread count that the user or a sweep has set stays.
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


def send(events: TextIO, event: Mapping[str, Any]) -> None:
    """Write one event."""
    events.write(json.dumps(event) + "\n")
    events.flush()


def _event_sender(events: TextIO) -> Callable[[float], None]:
    """Sends a run's progress whenever enough of it is new."""
    sent = 0.0

    def on_progress(fraction: float) -> None:
        nonlocal sent
        if fraction - sent >= MIN_PROGRESS_STEP:
            sent = fraction
            send(events, {"event": "progress", "fraction": fraction})

    return on_progress


def one_line(text: str) -> str:
    """The text without line breaks."""
    return " ".join(text.split())


if __name__ == "__main__":
    own_events = take_stdout()
    faulthandler.enable()
    quiet_libraries()
    be_considerate()
    Worker(*sys.argv[1:]).serve(sys.stdin, own_events)
