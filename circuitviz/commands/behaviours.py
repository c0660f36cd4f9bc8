"""`circuitviz behaviours`: the behaviours that installed packages bring."""

from __future__ import annotations

import argparse

from circuitviz.behaviours.plugins import behaviour_plugins
from circuitviz.cli_text import aligned_table
from circuitviz.commands.options import AddParser, add_json_option, command
from circuitviz.commands.output import say, say_json


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(
        commands, "behaviours", _behaviours, "list the behaviours that installed packages bring"
    )
    add_json_option(parser)


def _behaviours(options: argparse.Namespace, library: object) -> int:
    plugins = behaviour_plugins()
    if options.json:
        say_json(
            [{"name": one.name, "package": one.package, "source": one.source} for one in plugins]
        )
    elif plugins:
        rows = [(one.name, one.package or "-", one.source) for one in plugins]
        say(aligned_table(("BEHAVIOUR", "PACKAGE", "SOURCE"), rows))
    return 0
