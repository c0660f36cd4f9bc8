"""Commands as values, and the options they take: those of settings come from the settings."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args

from circuitviz.errors import ConfigError
from circuitviz.files import EMBEDDED_RUNS, runs_folder
from circuitviz.runs.config import Settings, TuningConfig, described

if TYPE_CHECKING:
    from circuitviz.commands.backend import Backend
    from circuitviz.runs.store import RunStore


class ArgumentHolder(Protocol):
    """A parser, or a group of its options."""

    def add_argument(self, *name_or_flags: str, **settings: Any) -> Any:
        """Take one more argument."""
        ...


# Adds one argument or several.
Arguments = Callable[[Any], object]


@dataclass(frozen=True)
class Reply:
    """What a command answers.

    Attributes:
        json: The result as JSON values, printed where `--json` is given.
        text: The same for people; nothing is printed where it is empty.
        notes: What is said afterwards on standard error, a line each.
        code: The exit code.
    """

    json: Any = None
    text: str = ""
    notes: tuple[str, ...] = ()
    code: int = 0


@dataclass(frozen=True)
class Command:
    """A command of the shell.

    Attributes:
        name: The word that calls it.
        what: What it does, for `--help`.
        run: Carries it out.
        arguments: What it takes, in the order of `--help`.
    """

    name: str
    what: str
    run: Callable[[argparse.Namespace, Backend], Reply]
    arguments: tuple[Arguments, ...]

    def add_to(self, commands: Any) -> None:
        """Give it a parser among those of the other commands."""
        description = self.what[0].upper() + self.what[1:] + "."
        parser = commands.add_parser(self.name, help=self.what, description=description)
        parser.set_defaults(command=self)
        for add in self.arguments:
            add(parser)


def command(
    name: str, what: str, *arguments: Arguments
) -> Callable[[Callable[[argparse.Namespace, Backend], Reply]], Command]:
    """Make a function of the parsed options and the backend a command."""
    return lambda run: Command(name, what, run, arguments)


def option(*names: str, **settings: Any) -> Arguments:
    """One argument, as argparse takes it."""
    return lambda holder: holder.add_argument(*names, **settings)


def group(title: str, *arguments: Arguments) -> Arguments:
    """Arguments below a title of their own."""
    return _within(lambda parser: parser.add_argument_group(title), arguments)


def either(*arguments: Arguments) -> Arguments:
    """Arguments of which one at most is given."""
    return _within(lambda parser: parser.add_mutually_exclusive_group(), arguments)


def _within(part: Callable[[Any], Any], arguments: tuple[Arguments, ...]) -> Arguments:
    def add(parser: argparse.ArgumentParser) -> None:
        inside = part(parser)
        for argument in arguments:
            argument(inside)

    return add


def setting(
    config: type[Settings], name: str, metavar: str | None = None, **changes: Any
) -> Arguments:
    """The option of a field, with its type, choices, default and description.

    Args:
        config: Has the field.
        name: Of the field; one that is on by default has an option `--no-<name>`.
        metavar: What stands for the value; None where there are choices.
        changes: What argparse is told otherwise.
    """
    field = config.fields()[name]
    kinds = get_args(field.annotation) or (field.annotation,)
    flag = f"--{'no-' if field.default is True else ''}{name.replace('_', '-')}"
    told: dict[str, Any] = {"dest": name, "default": field.default, "help": described(field)}
    if bool in kinds:
        told["action"] = "store_false" if field.default else "store_true"
    elif all(isinstance(kind, str) for kind in kinds):
        told["choices"] = kinds
    else:
        told |= {"type": next(t for t in (float, int, str) if t in kinds), "metavar": metavar}
    if field.is_required():
        told["default"], told["required"] = None, True
    return option(flag, **{**told, **changes})


def given(config: type[Settings], options: argparse.Namespace) -> dict[str, Any]:
    """The fields that the options say something about."""
    values = {name: getattr(options, name, None) for name in config.fields()}
    return {name: value for name, value in values.items() if value is not None}


RUN = option("run", metavar="RUN", help=TuningConfig.fields()["run"].description)
RUNS = option("--runs", metavar="DIR", help="runs folder (default: $CIRCUITVIZ_RUNS, else runs/)")
JSON = option("--json", action="store_true", help="print JSON")


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
