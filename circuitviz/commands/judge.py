"""`circuitviz judge RUN`: what several judges say of a run's answers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.cli_text import judge_tables
from circuitviz.commands.library import Library
from circuitviz.commands.options import (
    AddParser,
    add_json_option,
    add_run_argument,
    add_store_option,
    command,
    store_of,
)
from circuitviz.commands.output import say, say_json
from circuitviz.errors import ConfigError
from circuitviz.quiet import quiet_libraries, stdout_discarded

if TYPE_CHECKING:
    from circuitviz.runs.store import Run


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(commands, "judge", _judge, "ask several judges about a saved run's answers")
    add_run_argument(parser)
    parser.add_argument(
        "--classifier", metavar="DIR", help="a local Hugging Face text classifier as one more judge"
    )
    parser.add_argument(
        "--success", metavar="LABEL", help="the classifier's label of a successful attack"
    )
    add_store_option(parser)
    add_json_option(parser)


def _judge(options: argparse.Namespace, library: Library) -> int:
    from circuitviz.evaluation.judge import judge_table, usual_judges
    from circuitviz.evaluation.judges.text_classifier import LocalClassifier

    if (options.classifier is None) != (options.success is None):
        raise ConfigError("--classifier DIR and --success LABEL go together")
    run = store_of(options).load(options.run)
    judges = usual_judges(run.generations, _judging_behaviour(run, library))
    if options.classifier is not None:
        quiet_libraries()
        judges.append(LocalClassifier(Path(options.classifier), options.success))
    with stdout_discarded():
        found = judge_table(run.generations, judges)
    if options.json:
        say_json({"run_id": run.run_id, **found.to_json()})
    else:
        say(judge_tables(found))
    return 0


def _judging_behaviour(run: Run, library: Library) -> Behaviour | None:
    """The run's behaviour if it may bring judges of its own, as only an installed one does."""
    named = run.config.behaviour
    return library.behaviour(run.config) if named and not Path(named).is_absolute() else None
