"""`circuitviz tune RUN --mode MODE`: train the circuit of a run alone, or all but it."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from circuitviz.cli_text import tuning_summary
from circuitviz.commands.library import Library
from circuitviz.commands.options import (
    AddParser,
    add_json_option,
    add_run_argument,
    add_store_option,
    command,
    require_writable,
    store_of,
)
from circuitviz.commands.output import say, say_json, say_on_stderr
from circuitviz.errors import ConfigError
from circuitviz.files import whole_folder
from circuitviz.quiet import stdout_discarded
from circuitviz.runs.config import TuningConfig, TuningMode
from circuitviz.runs.terminal import Bar

if TYPE_CHECKING:
    from circuitviz.runs.store import Run, RunStore


# What `--json` prints of a tuning's metrics.
JSON_KEYS = (
    "tuning_id",
    "run_id",
    "model",
    "behaviour_kind",
    "mode",
    "seed",
    "size",
    "units",
    "scenario",
    "judges",
    "before",
    "arms",
    "plan",
    "seconds",
)


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(commands, "tune", _tune, "tune, or protect, only the circuit of a saved run")
    add_run_argument(parser)
    parser.add_argument(
        "--mode",
        choices=get_args(TuningMode),
        required=True,
        help="protect: train everything but the circuit; repair: train the circuit alone",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="where to put a copy of the tuned model: new, empty, or an earlier copy",
    )
    parser.add_argument(
        "--size", type=int, metavar="K", help="the K best units (default: the run's circuit)"
    )
    parser.add_argument("--seed", type=int, default=TuningConfig.seed, metavar="S")
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the lessons (default: the mode's)"
    )
    parser.add_argument(
        "--learning-rate",
        type=float,
        metavar="X",
        help="step size of the optimiser (default: the mode's)",
    )
    parser.add_argument(
        "--weight-decay", type=float, metavar="X", help="of the optimiser (default: the mode's)"
    )
    parser.add_argument(
        "--data",
        metavar="FILE",
        help="lessons to use instead of the model's: a JSONL file, one object a line, e.g. "
        '{"split": "train", "category": "facts", "text": "What sound does a dog make?", "answer": '
        '"A dog barks."}, with some lessons of each split (train, validation, test)',
    )
    add_store_option(parser)
    add_json_option(parser)


def _tune(options: argparse.Namespace, library: Library) -> int:
    from circuitviz.runs.tuning_store import TuningStore

    runs = store_of(options)
    run = runs.load(options.run)
    config = _tuning_config(options, runs, run)
    store = TuningStore(runs.folder)
    out = Path(options.out) if options.out else None
    require_writable(store.folder, "tunings")
    if out is not None:
        library.require_tuned_folder(out, run)
    try:
        with Bar() as bar, stdout_discarded():
            tuning = library.tune(config, run, bar.show, store.kept(config))
            folder = store.save(tuning)
    except KeyboardInterrupt:
        say_on_stderr("finished epochs are kept; the same command goes on from the last of them")
        raise
    tuning = store.load(str(folder))
    if out is not None and tuning.checkpoint is not None:
        with whole_folder(out.resolve()) as draft:
            shutil.copytree(tuning.checkpoint, draft, dirs_exist_ok=True)
    if options.json:
        metrics = tuning.metrics.to_json()
        say_json(
            {
                **{key: metrics.get(key) for key in JSON_KEYS},
                "folder": str(folder),
                "out": str(out) if out else None,
            }
        )
    else:
        say(tuning_summary(tuning, folder, out))
    return 0


def _tuning_config(options: argparse.Namespace, runs: RunStore, run: Run) -> TuningConfig:
    """What the options ask for; said in one way, so that the app finds the same tuning."""
    if options.size is not None and not 1 <= options.size <= len(run.space):
        raise ConfigError(
            f"--size must be between 1 and {len(run.space)}, the units of {run.config.model}; "
            f"got {options.size}"
        )
    folder = runs.path(options.run).resolve()
    listed = folder.parent in {path.resolve() for path in (runs.folder, *runs.shipped)}
    return TuningConfig(
        run=folder.name if listed else str(folder),
        mode=options.mode,
        size=None if options.size == run.size else options.size,
        seed=options.seed,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        data=str(Path(options.data).resolve()) if options.data else None,
    )
