"""The behaviour that a configuration looks for."""

from __future__ import annotations

from pathlib import Path

from circuitviz.behaviours.answered import answered_before
from circuitviz.behaviours.behaviour import Behaviour, load_behaviour
from circuitviz.behaviours.plugins import find_plugin
from circuitviz.models.catalog import find_model
from circuitviz.runs.config import DiscoveryConfig

__all__ = ["answerer", "behaviour_folder", "behaviour_of"]


def behaviour_folder(config: DiscoveryConfig) -> Path:
    """Where its behaviour.json lies: a folder of its own, or the model's.

    That of a plug-in's behaviour is not there.

    Raises:
        ModelNotFoundError: The model is not there.
    """
    return Path(config.behaviour) if config.behaviour else find_model(config.model)


def behaviour_of(config: DiscoveryConfig) -> Behaviour:
    """The behaviour, with its prompts.

    It is a draft where answers are the intact model's and that model has not been asked yet.

    Raises:
        ModelNotFoundError: The model is not there.
        PromptFileError: The behaviour or its prompts cannot be read.
        ConfigError: The behaviour is that of a plug-in, and cannot be made.
    """
    folder = behaviour_folder(config)
    if config.behaviour and not folder.is_dir():
        behaviour = find_plugin(config.behaviour).load(find_model(config.model))
    else:
        behaviour = load_behaviour(folder, Path(config.prompts) if config.prompts else None)
    return (behaviour.is_draft and answered_before(behaviour, answerer(config))) or behaviour


def answerer(config: DiscoveryConfig) -> str:
    """What the configuration's model is called where its answers are kept."""
    return " + ".join(part for part in (config.model, config.adapter, config.dtype) if part)
