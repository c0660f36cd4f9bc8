"""Options that commands share, and what they stand for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from circuitviz.errors import ConfigError
from circuitviz.paths import EMBEDDED_RUNS, runs_folder
from circuitviz.runs.config import DataType, DiscoveryConfig

if TYPE_CHECKING:
    from circuitviz.runs.store import RunStore

__all__ = [
    "AddParser",
    "add_json_option",
    "add_running_options",
    "add_store_option",
    "command",
    "require_writable",
    "running",
    "store_of",
]

AddParser = Callable[..., argparse.ArgumentParser]


def command(
    add: AddParser, name: str, function: Callable[..., int], what: str
) -> argparse.ArgumentParser:
    """The parser of one command, carried out by `function(options, library)`."""
    parser = add(name, help=what, description=what[0].upper() + what[1:] + ".")
    parser.set_defaults(command=function)
    return parser


def add_store_option(parser: argparse.ArgumentParser) -> None:
    """`--runs DIR`, which `store_of` reads."""
    parser.add_argument(
        "--runs", metavar="DIR", help="runs folder (default: $CIRCUITVIZ_RUNS, else runs/)"
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_running_options(parser: argparse.ArgumentParser) -> None:
    """Where a model runs and in which numbers, which `running` reads."""
    parser.add_argument(
        "--device",
        default=DiscoveryConfig.device,
        metavar="NAME",
        help="cpu, cuda, cuda:1, or balanced over all GPUs (default: a GPU where there is one)",
    )
    parser.add_argument(
        "--dtype",
        choices=get_args(DataType),
        default=DiscoveryConfig.dtype,
        help="of weights and activations; scores are always fp32 (default: %(default)s)",
    )
    parser.add_argument(
        "--micro-batch",
        type=int,
        metavar="N",
        help="at most N prompts in one forward-backward pass (default: a batch at once)",
    )
    parser.add_argument(
        "--checkpointing",
        action="store_true",
        help="compute layers again on the way back instead of keeping their activations",
    )


def running(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a `DiscoveryConfig` that `add_running_options` asks for."""
    names = ("device", "dtype", "micro_batch", "checkpointing")
    return {name: getattr(options, name) for name in names}


def store_of(options: argparse.Namespace) -> RunStore:
    """The runs the options name, and those that ship."""
    from circuitviz.runs.store import RunStore

    return RunStore(runs_folder(options.runs), shipped=(EMBEDDED_RUNS,))


def require_writable(folder: Path, what: str = "runs") -> None:
    """Refuse a folder that nothing can be saved in, before the work is done."""
    nearest = next(
        path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
    )
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ConfigError(f"cannot save {what} in {folder}: {nearest} is not a writable folder")
