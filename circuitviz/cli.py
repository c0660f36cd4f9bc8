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
from circuitviz.commands import app, discover, models, prompts, runs, tune
from circuitviz.commands.backend import Backend
from circuitviz.commands.output import say, say_json, say_on_stderr
from circuitviz.errors import CircuitvizError, ConfigError

UNUSABLE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141

# In the order in which a newcomer needs them: a model and prompts, finding a circuit,
# reading what was found, changing the model.
COMMANDS = (
    *(models.list_models, models.fetch_model, models.check_model),
    *(prompts.write_template, prompts.validate, prompts.list_behaviours),
    *(discover.discover_command, discover.sweep_command),
    *(runs.list_runs, runs.report_run, runs.generate, runs.compare, runs.judge_run),
    *(tune.knock_out, tune.tune_command),
    app.serve_app,
)


def main(arguments: Sequence[str] | None = None, backend: Backend | None = None) -> int:
    """Carry out one command and return its exit code."""
    try:
        options = _parser().parse_args(arguments)
        reply = options.command.run(options, backend or Backend())
        if getattr(options, "json", False):
            say_json(reply.json)
        elif reply.text:
            say(reply.text)
        for note in reply.notes:
            say_on_stderr(note)
        return reply.code
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
    for command in COMMANDS:
        command.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
