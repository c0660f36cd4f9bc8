"""Options that commands share, and what they stand for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from circuitviz.errors import ConfigError
from circuitviz.paths import EMBEDDED_RUNS, runs_folder

if TYPE_CHECKING:
    from circuitviz.runs.store import RunStore

__all__ = [
    "AddParser",
    "add_json_option",
    "add_store_option",
    "command",
    "require_writable",
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
