"""circuitviz from a shell: the same functions as the app's.

Results go to standard output, everything else to standard error.  Exit codes: 0 done; 2 the
command cannot be carried out as given, said in one line; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from circuitviz import __version__
from circuitviz.commands import (
    app,
    behaviours,
    compare,
    discover,
    fetch,
    generate,
    judge,
    knockout,
    models,
    preflight,
    report,
    runs,
    sweep,
    templates,
    tune,
    validate,
)
from circuitviz.commands.library import Library
from circuitviz.commands.output import say_on_stderr
from circuitviz.errors import CircuitvizError, ConfigError

UNUSABLE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141

# In the order in which somebody new comes to need them: a model and prompts, finding a circuit,
# reading what was found, changing the model.
COMMANDS = (
    *(models, fetch, preflight, templates, validate, behaviours),
    *(discover, sweep),
    *(runs, report, generate, compare, judge),
    *(knockout, tune),
    app,
)


def main(arguments: Sequence[str] | None = None, library: Library | None = None) -> int:
    """Carry out one command and return its exit code."""
    library = library or Library()
    try:
        options = _parser().parse_args(arguments)
        return options.command(options, library)
    except (CircuitvizError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader of our output has left; Python must not complain at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        say_on_stderr(" ".join(str(error).split()))
        return UNUSABLE
    except KeyboardInterrupt:
        say_on_stderr("stopped")
        return INTERRUPTED


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, as all of ours."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="circuitviz", description="Find and knock out safety circuits.")
    parser.add_argument("-V", "--version", action="version", version=f"circuitviz {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.add(commands.add_parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
