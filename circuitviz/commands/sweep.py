"""`circuitviz sweep FILE`: many discoveries, on this machine or on a Ray cluster."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitviz.commands.options import (
    AddParser,
    add_json_option,
    add_store_option,
    command,
    require_writable,
    store_of,
)
from circuitviz.commands.output import say, say_json
from circuitviz.quiet import stdout_discarded
from circuitviz.runs.pools import chosen_pool
from circuitviz.runs.terminal import SweepTable

if TYPE_CHECKING:
    pass


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


def _words(counts: Counter[str]) -> list[tuple[str, str]]:
    words = (("done", "done"), ("saved", "saved before"), ("failed", "failed"))
    return [(state, word) for state, word in words if counts[state]]
