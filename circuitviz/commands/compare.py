"""`circuitviz compare RUN RUN`: what the circuits of several runs share."""

from __future__ import annotations

import argparse

from circuitviz.cli_text import comparison_tables
from circuitviz.commands.options import (
    AddParser,
    add_json_option,
    add_store_option,
    command,
    store_of,
)
from circuitviz.commands.output import say, say_json


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(commands, "compare", _compare, "compare the circuits of 2 to 6 saved runs")
    parser.add_argument(
        "runs_compared", metavar="RUN", nargs="+", help="id of a saved run, or path of its folder"
    )
    add_store_option(parser)
    add_json_option(parser)


def _compare(options: argparse.Namespace, library: object) -> int:
    from circuitviz.runs.comparison import compare_runs

    store = store_of(options)
    found = compare_runs([store.load(run) for run in options.runs_compared])
    if options.json:
        say_json(found.to_json())
    else:
        say(comparison_tables(found))
    return 0
