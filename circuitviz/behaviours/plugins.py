"""Behaviours that other packages bring, by entry points of the group `circuitviz.behaviours`.

An entry point names a function that gives a `Behaviour`: its prompt sets, the target that an
attack's answer has to start with, and judges of its own if it has any.  The function takes
nothing, or the folder of the model.  Prompts may leave answers to the intact
model.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

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
        named = f"the behaviour {self.name!r} ({self.source})"
        try:
            made = self.entry.load()
            if callable(made):
                made = made(model_folder) if inspect.signature(made).parameters else made()
        # Code of another package may raise anything; the user has to learn whose it was.
        except Exception as error:
            raise ConfigError(
                f"{named} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(made, Behaviour):
            raise ConfigError(f"{named} is no circuitviz Behaviour but {type(made).__name__}")
        if problem := prompts_problem(made.all_prompts, triggered=made.kind == "backdoor"):
            raise ConfigError(f"{named} {problem}")
        return made


def behaviour_plugins() -> list[BehaviourPlugin]:
    """The behaviours that installed packages bring, by name."""
    return [
        BehaviourPlugin(entry.name, entry.value, entry.dist.name if entry.dist else "", entry)
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
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
