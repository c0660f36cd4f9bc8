"""`circuitviz sweep FILE`: many discoveries, on this machine or on a Ray cluster."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tqdm import tqdm

from circuitviz.commands.options import (
    AddParser,
    add_json_option,
    add_store_option,
    command,
    require_writable,
    store_of,
)
from circuitviz.commands.output import say, say_json
from circuitviz.errors import ConfigError
from circuitviz.quiet import stdout_discarded

if TYPE_CHECKING:
    from circuitviz.runs.sweep import Sweep
    from circuitviz.runs.sweep_run import Pool, SweptRun


FAILED = 1
STATES = ("done", "saved", "failed")


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(
        commands, "sweep", _sweep, "carry out the discoveries that a file lists, and go on later"
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="YAML with models, behaviours, methods, seeds and settings, e.g. models: "
        "[fixed-output-planted, refusal], seeds: [0, 1, 2]",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes on this machine (default: one a GPU, else one a core that there is memory "
        "for)",
    )
    where.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="a Ray cluster that runs: auto, host:port or ray://host:port; models and data given "
        "as paths must lie there on every node",
    )
    add_store_option(parser)
    add_json_option(parser)


def _sweep(options: argparse.Namespace, library: Any) -> int:
    from circuitviz.runs.sweep import read_sweep
    from circuitviz.runs.sweep_run import check_sweep, perform_sweep

    sweep = read_sweep(Path(options.file))
    pool = chosen_pool(sweep, options.workers, options.ray)
    check_sweep(sweep)
    store = store_of(options)
    require_writable(store.folder)
    run_ids = [config.run_id() for config in sweep.configs]
    with SweepTable(run_ids) as table, stdout_discarded():
        runs = perform_sweep(sweep, store, pool, table.show)
    counts = Counter(run.state for run in runs)
    if options.json:
        say_json({"runs": [run.to_json() for run in runs], **{s: counts[s] for s in STATES}})
    else:
        said = [f"{counts[state]} {word}" for state, word in _words(counts)]
        say(f"{len(runs)} runs in {store.folder}: {', '.join(said)}")
    return FAILED if counts["failed"] else 0


def chosen_pool(sweep: Sweep, workers: int | None, address: str | None) -> Pool:
    """The cluster at an address, or processes of this machine.

    Raises:
        ConfigError: The number of processes is not usable, or Ray is not installed.
    """
    if address is not None:
        from circuitviz.runs.ray_pool import RayPool, require_ray

        require_ray()
        return RayPool(address, sweep.ray)
    from circuitviz.runs.local_pool import LocalPool
    from circuitviz.runs.worker_count import gpu_count, usual_workers

    if workers is not None and not 1 <= workers <= 1024:
        raise ConfigError(f"--workers must be between 1 and 1024; got {workers}")
    return LocalPool(workers or usual_workers(sweep.configs), gpus=gpu_count(sweep.configs))


def _words(counts: Counter[str]) -> list[tuple[str, str]]:
    words = (("done", "done"), ("saved", "saved before"), ("failed", "failed"))
    return [(state, word) for state, word in words if counts[state]]


class SweepTable:
    """A line for every run that has ended, and below them how many are at work or submitted.

    On standard error.

    Args:
        run_ids: All runs of the sweep.
    """

    def __init__(self, run_ids: Sequence[str]) -> None:
        self._width = max(map(len, run_ids), default=0)
        # None: handed over, and nobody can tell whether it has begun.
        self._running: dict[str, float | None] = {}
        self._bar: tqdm[NoReturn] = tqdm(
            total=len(run_ids),
            file=sys.stderr,
            unit="run",
            bar_format="{n_fmt} of {total_fmt} runs |{bar}| {elapsed}{postfix}",
        )

    def __enter__(self) -> SweepTable:
        self._write("RUN", "STATE", "SECONDS", "UNITS", "ASR")
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def show(self, run: SweptRun) -> None:
        """Say where a run stands."""
        run_id = run.config.run_id()
        if not run.ended:
            self._running[run_id] = run.fraction
        else:
            self._running.pop(run_id, None)
            seconds = "-" if run.seconds is None else f"{run.seconds:.1f}"
            size = "-" if run.size is None else str(run.size)
            asr = "-" if run.asr is None else f"{run.asr:.1%}"
            self._write(run_id, run.state, seconds, size, asr, run.error)
            self._bar.update()
        self._bar.set_postfix_str(self._now(), refresh=False)
        self._bar.refresh()

    def _now(self) -> str:
        shares = [share for share in self._running.values() if share is not None]
        submitted = len(self._running) - len(shares)
        if submitted:
            return f"{submitted} submitted"
        at = " ".join(f"{share:.0%}" for share in shares[:8])
        return f"{len(shares)} at work {at}".rstrip()

    def _write(self, run: str, *values: str) -> None:
        state, seconds, size, asr, *error = values
        line = f"{run:<{self._width}}  {state:<7} {seconds:>8} {size:>6} {asr:>7}  {''.join(error)}"
        self._bar.write(line.rstrip(), file=sys.stderr)
