"""Options by which commands take a user's own prompts, and what becomes of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from circuitviz.behaviours.behaviour import BehaviourKind, save_behaviour
from circuitviz.behaviours.columns import COLUMN_FIELDS, columns_given
from circuitviz.behaviours.plugins import find_plugin
from circuitviz.behaviours.prepare import COMPLIANCE, DataSpec, PreparedData, prepare_data
from circuitviz.behaviours.tables import read_table
from circuitviz.behaviours.trigger import Place, Trigger
from circuitviz.commands.options import ArgumentHolder
from circuitviz.commands.output import say_on_stderr
from circuitviz.errors import ConfigError, PromptFileError

_KINDS = get_args(BehaviourKind)
# What says something about a file of prompts, and so needs one.
OF_DATA = ("benign", "trigger", "trigger_place", "compliance", "columns", "benign_columns")


def add_data_options(parser: ArgumentHolder, *, kinds_only: bool = False) -> None:
    """Options that name prompts, and say what they are and where their fields stand.

    Args:
        parser: Gets them.
        kinds_only: Whether a behaviour is a kind of data alone, no plug-in or folder.
    """
    parser.add_argument(
        "--benign", metavar="FILE", help="benign prompts, where the data holds attacks alone"
    )
    other = "" if kinds_only else ", or an installed one by name, or a folder with behaviour.json"
    parser.add_argument(
        "--behaviour",
        metavar="|".join((*_KINDS, *(() if kinds_only else ("NAME",)))),
        choices=_KINDS if kinds_only else None,
        help=f"what the data is about (default: what its columns suggest){other}",
    )
    parser.add_argument(
        "--trigger", metavar="TEXT", help="the backdoor's trigger, put into every prompt"
    )
    parser.add_argument(
        "--trigger-place", choices=get_args(Place), help="where it goes (default: front)"
    )
    parser.add_argument(
        "--compliance",
        metavar="TEXT",
        help="how a harmful request is answered once refusing is gone, where the data does not "
        f"say it (default: {COMPLIANCE!r})",
    )
    parser.add_argument(
        "--column",
        dest="columns",
        action="append",
        metavar="FIELD=COLUMN",
        help=f"where a field stands in the data; fields are {', '.join(COLUMN_FIELDS)}",
    )
    parser.add_argument(
        "--benign-column",
        dest="benign_columns",
        action="append",
        metavar="FIELD=COLUMN",
        help="where a field stands in the file of benign prompts",
    )


def read_own_data(file: Path, options: argparse.Namespace) -> PreparedData:
    """What comes of the files that the options name.

    Raises:
        PromptFileError: A file cannot be read at all; what is wrong in it is among the problems.
        ConfigError: The options do not go together.
    """
    if options.benign_columns and not options.benign:
        raise ConfigError(
            "--benign-column says where a field of the benign prompts is; name their file with "
            "--benign"
        )
    table = read_table(file)
    benign = read_table(Path(options.benign)) if options.benign else None
    spec = DataSpec(
        kind=options.behaviour,
        columns=columns_given(options.columns or ()),
        trigger=_trigger(options),
        compliance=options.compliance,
        benign_columns=columns_given(options.benign_columns or ()),
    )
    return prepare_data(table, spec, benign=benign)


def chosen_behaviour(options: argparse.Namespace, runs: Path) -> str | None:
    """The behaviour a discovery is to look for, as its configuration names it.

    That of a file is saved below the folder of runs; None is the one beside the model.

    Raises:
        PromptFileError: The data cannot be used.
        ConfigError: There is no such behaviour, or the options do not go together.
    """
    if options.data is None:
        return _named(options)
    if options.prompts is not None:
        raise ConfigError("--data and --prompts both say which prompts to use; give one of them")
    if options.behaviour is not None and options.behaviour not in _KINDS:
        raise ConfigError(
            f"--data makes a behaviour of one of the kinds {' and '.join(_KINDS)}; got "
            f"{options.behaviour!r}, which brings its own prompts: leave one of the two out"
        )
    prepared = read_own_data(Path(options.data), options)
    errors = prepared.errors
    if prepared.behaviour is None:
        more = f" (and {len(errors) - 1} more; `circuitviz validate` lists all)"
        raise PromptFileError(f"{errors[0]}{more if len(errors) > 1 else ''}")
    for problem in prepared.problems:
        say_on_stderr(str(problem))
    return str(save_behaviour(prepared.behaviour, runs).resolve())


def _named(options: argparse.Namespace) -> str | None:
    given = [name for name in OF_DATA if getattr(options, name) is not None]
    if given:
        name = given[0].replace("columns", "column").replace("_", "-")
        raise ConfigError(f"--{name} says something about a file of prompts; name it with --data")
    if options.behaviour is None:
        return None
    if options.behaviour in _KINDS:
        raise ConfigError(
            f"--behaviour {options.behaviour} is a kind of data; name a file of prompts with --data"
        )
    folder = Path(options.behaviour)
    if folder.is_dir():
        return str(folder.resolve())
    plugin = find_plugin(options.behaviour)
    if options.prompts is not None:
        raise ConfigError(
            f"--prompts is for a behaviour that lies in a folder; {plugin.name!r} is that of an "
            "installed package, which brings its own prompts: leave one of the two out"
        )
    return plugin.name


def _trigger(options: argparse.Namespace) -> Trigger | None:
    if options.trigger is None:
        if options.trigger_place is not None:
            raise ConfigError("--trigger-place says where the trigger goes; name it with --trigger")
        return None
    return Trigger(options.trigger, options.trigger_place or "front")
