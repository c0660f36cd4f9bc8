"""`circuitviz templates`: what files of prompts can look like."""

from __future__ import annotations

import argparse
from pathlib import Path

from circuitviz.behaviours.templates import TEMPLATES
from circuitviz.cli_text import aligned_table
from circuitviz.commands.options import AddParser, command
from circuitviz.commands.output import say
from circuitviz.errors import ConfigError


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(
        commands, "templates", _templates, "print, or write, a file of prompts to fill"
    )
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="which one; without it they are listed"
    )
    parser.add_argument("--out", metavar="FILE", help="where to write it, if not to the screen")


def _templates(options: argparse.Namespace, library: object) -> int:
    if options.name is None:
        if options.out is not None:
            raise ConfigError(f"--out needs the name of a template: {', '.join(TEMPLATES)}")
        say(
            aligned_table(("TEMPLATE", "FILE"), [(name, of) for name, (of, _) in TEMPLATES.items()])
        )
        return 0
    if options.name not in TEMPLATES:
        raise ConfigError(f"a template is one of {', '.join(TEMPLATES)}; got {options.name!r}")
    _, text = TEMPLATES[options.name]
    if options.out is None:
        say(text.rstrip("\n"))
        return 0
    out = Path(options.out)
    if out.exists():
        raise ConfigError(f"{out} is there already; name another file as --out")
    out.write_text(text, encoding="utf-8")
    return 0
