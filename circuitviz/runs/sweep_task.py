"""One run of a sweep, where it is carried out: in a worker process or on a node of a cluster.

The settings that go there and the finished run that comes back are plain data.  Models and data
that the settings name by path are not sent along: they must lie at that path there as well.
"""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from circuitviz.errors import CircuitvizError, RunFormatError
from circuitviz.quiet import quiet_libraries
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.progress import Progress
from circuitviz.runs.store import FILES, Run, RunStore
from circuitviz.runs.worker import Discover, import_function, one_line

# The discovery that every run is, as `module:function`.
DISCOVER = "circuitviz.runs.discover:discover"


def pack_run(run: Run) -> dict[str, bytes]:
    """What a run's folder would hold: file name -> bytes."""
    with tempfile.TemporaryDirectory(prefix="circuitviz-") as folder:
        path = RunStore(Path(folder)).save(run)
        return {name: (path / name).read_bytes() for name in FILES}


def unpack_run(run_id: str, files: Mapping[str, bytes]) -> Run:
    """The inverse of `pack_run`.

    Raises:
        RunFormatError: These are not the files of a run of that id.
    """
    if sorted(files) != sorted(FILES):
        raise RunFormatError(f"a run has the files {', '.join(FILES)}; got {', '.join(files)}")
    with tempfile.TemporaryDirectory(prefix="circuitviz-") as folder:
        path = Path(folder) / "run"
        path.mkdir()
        for name, data in files.items():
            (path / name).write_bytes(data)
        run = RunStore(Path(folder)).load(str(path))
    if run.config.run_id() != run_id:
        raise RunFormatError(f"these files are of the run {run.config.run_id()}, not of {run_id}")
    return Run(
        run_id, run.config, run.space, run.scores, run.frontier, run.generations, run.metrics
    )


@dataclass(frozen=True)
class Answer:
    """What became of one run.

    Attributes:
        seconds: How long it took.
        files: The finished run, as `pack_run` gives it; empty after an error.
        error: Why there is none, in one line; empty where there is one.
    """

    seconds: float = 0.0
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    error: str = ""


@dataclass(frozen=True)
class PoolEvent:
    """Something that happened to one run.

    Attributes:
        place: Which one of those given.
        fraction: Share of it that is done, in [0, 1]; None where it was handed over and nobody can
            tell whether it has begun.
        answer: What became of it, once it has ended.
    """

    place: int
    fraction: float | None = None
    answer: Answer | None = None


def carry_out(
    config: dict[str, Any], discover: str, tell: Callable[[float], None] = lambda share: None
) -> Answer:
    """Find the circuit a configuration asks for; an error is an answer as well.

    Args:
        config: A `DiscoveryConfig`, as JSON values.
        discover: What to carry out, as `module:function`.
        tell: Told the share of the work that is done, in [0, 1].
    """
    started = time.monotonic()
    quiet_libraries()

    def report(progress: Progress) -> None:
        tell(progress.fraction)

    try:
        function: Discover = import_function(discover)
        files = pack_run(function(DiscoveryConfig.from_json(config), report=report))
    except CircuitvizError as error:
        return Answer(time.monotonic() - started, error=one_line(str(error)))
    except Exception as error:
        return Answer(time.monotonic() - started, error=_named(error))
    return Answer(time.monotonic() - started, files)


def _named(error: Exception) -> str:
    """An error nobody raised on purpose: its kind, its text and where it happened."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return one_line(f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})")
