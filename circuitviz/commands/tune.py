"""Changing a model: its circuit tuned, or knocked out for good."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from circuitviz.commands.backend import Backend
from circuitviz.commands.options import (
    JSON,
    RUN,
    RUNS,
    Reply,
    command,
    given,
    option,
    require_writable,
    setting,
    store_of,
)
from circuitviz.commands.output import (
    knock_out_summary,
    say_on_stderr,
    tuning_summary,
)
from circuitviz.errors import ConfigError
from circuitviz.files import full_path, whole_folder
from circuitviz.quiet import stdout_discarded
from circuitviz.runs.config import TuningConfig

if TYPE_CHECKING:
    from circuitviz.runs.store import Run, RunStore

# What `--json` prints of a tuning's metrics.
_JSON_KEYS = """
    tuning_id run_id model behaviour_kind mode seed size units scenario judges before arms
    plan seconds
""".split()


@command(
    "knockout",
    "write a run's model with its circuit knocked out for good",
    RUN,
    option(
        "--out", metavar="DIR", required=True, help="Hugging Face folder to write: new or empty"
    ),
    option("--size", type=int, metavar="K", help="knock out the K best units (default: the run's)"),
    option(
        "--ablation",
        choices=("zero", "mean"),
        help="what replaces a unit that is knocked out (default: the run's)",
    ),
    RUNS,
    JSON,
)
def knock_out(options: argparse.Namespace, backend: Backend) -> Reply:
    """Write the model with its circuit knocked out."""
    run = store_of(options).load(options.run)
    with stdout_discarded():
        export = backend.knock_out(run, Path(options.out), options.size, options.ablation)
    k, n = export.verified.k, export.verified.n
    note = (
        f"{n - k} of {n} answers of the written model are not those of the model with the circuit "
        "ablated by hooks"
    )
    return Reply(export.to_json(), knock_out_summary(export), (note,) if k < n else ())


@command(
    "tune",
    "tune, or protect, only the circuit of a saved run",
    RUN,
    setting(TuningConfig, "mode"),
    option(
        "--out",
        metavar="DIR",
        help="where to put a copy of the tuned model: new, empty, or an earlier copy",
    ),
    setting(TuningConfig, "size", "K"),
    setting(TuningConfig, "seed", "S"),
    setting(TuningConfig, "epochs", "N"),
    setting(TuningConfig, "learning_rate", "X"),
    setting(TuningConfig, "weight_decay", "X"),
    setting(TuningConfig, "data", "FILE", type=full_path),
    RUNS,
    JSON,
)
def tune_command(options: argparse.Namespace, backend: Backend) -> Reply:
    """Train the circuit of a run alone, or all but it."""
    from circuitviz.jobs.terminal import Bar
    from circuitviz.runs.tuning_store import TuningStore

    runs = store_of(options)
    run = runs.load(options.run)
    config = _tuning_config(options, runs, run)
    store = TuningStore(runs.folder)
    out = Path(options.out) if options.out else None
    require_writable(store.folder, "tunings")
    if out is not None:
        backend.require_tuned_folder(out, run)
        # The copy is made beside it first.
        require_writable(out.resolve().parent, "a model")
    try:
        with Bar() as bar, stdout_discarded():
            tuning = backend.tune(config, run, bar.show, store.kept(config))
            folder = store.save(tuning)
    except KeyboardInterrupt:
        say_on_stderr("finished epochs are kept; the same command goes on from the last of them")
        raise
    tuning = store.load(str(folder))
    if out is not None and tuning.checkpoint is not None:
        with whole_folder(out.resolve()) as draft:
            shutil.copytree(tuning.checkpoint, draft, dirs_exist_ok=True)
    metrics = tuning.metrics.to_json()
    result = {key: metrics.get(key) for key in _JSON_KEYS}
    result |= {"folder": str(folder), "out": str(out) if out else None}
    return Reply(result, tuning_summary(tuning, folder, out))


def _tuning_config(options: argparse.Namespace, runs: RunStore, run: Run) -> TuningConfig:
    """What the options ask for; said in one way, so that the app finds the same tuning."""
    if options.size is not None and not 1 <= options.size <= len(run.space):
        raise ConfigError(
            f"--size must be between 1 and {len(run.space)}, the units of {run.config.model}; "
            f"got {options.size}"
        )
    folder = runs.path(options.run).resolve()
    listed = folder.parent in {path.resolve() for path in (runs.folder, *runs.shipped)}
    said_in_one_way = {
        "run": folder.name if listed else str(folder),
        "size": None if options.size == run.size else options.size,
    }
    return TuningConfig(**given(TuningConfig, options) | said_in_one_way)
