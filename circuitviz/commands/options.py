"""Options that commands share, and what they stand for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args

from circuitviz.errors import ConfigError
from circuitviz.models.source import usual_dtype
from circuitviz.paths import EMBEDDED_RUNS, runs_folder
from circuitviz.runs.config import DataType, DiscoveryConfig

if TYPE_CHECKING:
    from circuitviz.runs.store import RunStore


AddParser = Callable[..., argparse.ArgumentParser]


class ArgumentHolder(Protocol):
    """A parser, or a group of its options."""

    def add_argument(self, *name_or_flags: str, **settings: Any) -> Any:
        """Take one more argument."""
        ...


def command(
    add: AddParser, name: str, function: Callable[..., int], what: str
) -> argparse.ArgumentParser:
    """The parser of one command, carried out by `function(options, library)`."""
    parser = add(name, help=what, description=what[0].upper() + what[1:] + ".")
    parser.set_defaults(command=function)
    return parser


def add_run_argument(parser: ArgumentHolder) -> None:
    """`RUN`, which a `RunStore` loads."""
    parser.add_argument("run", metavar="RUN", help="id of a saved run, or path of its folder")


def add_store_option(parser: ArgumentHolder) -> None:
    """`--runs DIR`, which `store_of` reads."""
    parser.add_argument(
        "--runs", metavar="DIR", help="runs folder (default: $CIRCUITVIZ_RUNS, else runs/)"
    )


def add_json_option(parser: ArgumentHolder) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_adapter_option(parser: ArgumentHolder) -> None:
    """`--adapter DIR`."""
    parser.add_argument(
        "--adapter", metavar="DIR", help="folder of a LoRA adapter to put on top of the model"
    )


def add_running_options(parser: ArgumentHolder) -> None:
    """What goes on top of a model, where it runs and in which numbers; `running` reads them."""
    add_adapter_option(parser)
    parser.add_argument(
        "--device",
        default=DiscoveryConfig.device,
        metavar="NAME",
        help="cpu, cuda, cuda:1, or balanced over all GPUs (default: a GPU where there is one)",
    )
    parser.add_argument(
        "--dtype",
        choices=get_args(DataType),
        help="of weights and activations; scores are always fp32 (default: bfloat16 for models "
        "that are fetched, else float32)",
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
    names = ("device", "micro_batch", "checkpointing")
    # Absolute, as a run is also read from other folders than this one.
    adapter = str(Path(options.adapter).resolve()) if options.adapter is not None else None
    dtype = options.dtype or usual_dtype(options.model)
    return {"adapter": adapter, "dtype": dtype, **{name: getattr(options, name) for name in names}}


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
