"""`circuitviz knockout RUN --out DIR`: the model with its circuit knocked out for good."""

from __future__ import annotations

import argparse
from pathlib import Path

from circuitviz.cli_text import knock_out_summary
from circuitviz.commands.library import Library
from circuitviz.commands.options import (
    AddParser,
    add_json_option,
    add_run_argument,
    add_store_option,
    command,
    store_of,
)
from circuitviz.commands.output import say, say_json, say_on_stderr
from circuitviz.quiet import stdout_discarded


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(
        commands, "knockout", _knockout, "write a run's model with its circuit knocked out for good"
    )
    add_run_argument(parser)
    parser.add_argument(
        "--out", metavar="DIR", required=True, help="Hugging Face folder to write: new or empty"
    )
    parser.add_argument(
        "--size", type=int, metavar="K", help="knock out the K best units (default: the run's)"
    )
    parser.add_argument(
        "--ablation",
        choices=("zero", "mean"),
        help="what replaces a unit that is knocked out (default: the run's)",
    )
    add_store_option(parser)
    add_json_option(parser)


def _knockout(options: argparse.Namespace, library: Library) -> int:
    run = store_of(options).load(options.run)
    with stdout_discarded():
        export = library.knock_out(run, Path(options.out), options.size, options.ablation)
    if options.json:
        say_json(export.to_json())
    else:
        say(knock_out_summary(export))
    if export.verified.k < export.verified.n:
        say_on_stderr(
            f"{export.verified.n - export.verified.k} of {export.verified.n} answers of the "
            "written model are not those of the model with the circuit ablated by hooks"
        )
    return 0
