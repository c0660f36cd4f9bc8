"""Behaviours that other packages bring, by entry points of the group `circuitviz.behaviours`.

An entry point names a function that gives a `Behaviour`: its prompt sets, the target that an
attack's answer has to start with, and judges of its own if it has any.  The function takes
nothing, or the folder of the model that is looked at.  Prompts may leave answers to the intact
model.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import prompts_problem
from circuitviz.errors import ConfigError

GROUP = "circuitviz.behaviours"


@dataclass(frozen=True)
class BehaviourPlugin:
    """A behaviour by name.

    Attributes:
        name: What `--behaviour` takes.
        source: Module and function it comes from.
        package: The installed package that brings it, "" where none is known.
        entry: Where to load it from.
    """

    name: str
    source: str
    package: str
    entry: EntryPoint

    def load(self, model_folder: Path) -> Behaviour:
        """The behaviour, checked.

        Raises:
            ConfigError: It cannot be imported or made, or it is not complete.
        """
        try:
            made = _made(self.entry.load(), model_folder)
        # Code of another package may raise anything; the user has to learn whose it was.
        except Exception as error:
            raise ConfigError(
                f"the behaviour {self.name!r} ({self.source}) cannot be loaded: "
                f"{type(error).__name__}: {error}"
            ) from error
        self._check(made)
        return made

    def _check(self, made: Any) -> None:
        if not isinstance(made, Behaviour):
            self._refuse(f"is no circuitviz Behaviour but {type(made).__name__}")
        problem = prompts_problem(made.all_prompts, triggered=made.kind == "backdoor")
        if problem:
            self._refuse(problem)

    def _refuse(self, what: str) -> None:
        raise ConfigError(f"the behaviour {self.name!r} ({self.source}) {what}")


def behaviour_plugins() -> list[BehaviourPlugin]:
    """The behaviours that installed packages bring, by name."""
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return [
        BehaviourPlugin(entry.name, entry.value, entry.dist.name if entry.dist else "", entry)
        for entry in found
    ]


def find_plugin(name: str) -> BehaviourPlugin:
    """The behaviour of a name.

    Raises:
        ConfigError: No installed package brings it, or two do.
    """
    plugins = behaviour_plugins()
    named = [plugin for plugin in plugins if plugin.name == name]
    if not named:
        known = ", ".join(plugin.name for plugin in plugins) or "none"
        raise ConfigError(
            f"no behaviour {name!r}: give a folder with a behaviour.json, or the name of an "
            f"installed one (there are: {known})"
        )
    if len(named) > 1:
        sources = " and ".join(plugin.source for plugin in named)
        raise ConfigError(f"two behaviours are called {name!r} ({sources}); uninstall one of them")
    return named[0]


def _made(function: Callable[..., Any], model_folder: Path) -> Any:
    if not callable(function):
        return function
    takes = inspect.signature(function).parameters
    return (partial(function, model_folder) if takes else function)()
