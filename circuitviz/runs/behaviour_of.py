"""The behaviour that a configuration looks for."""

from __future__ import annotations

from pathlib import Path

from circuitviz.behaviours.behaviour import Behaviour, load_behaviour
from circuitviz.models.catalog import find_model
from circuitviz.runs.config import DiscoveryConfig

__all__ = ["behaviour_folder", "behaviour_of"]


def behaviour_folder(config: DiscoveryConfig) -> Path:
    """Where its behaviour.json lies: a folder of its own, or the model's.

    Raises:
        ModelNotFoundError: The model is not there.
    """
    return Path(config.behaviour) if config.behaviour else find_model(config.model)


def behaviour_of(config: DiscoveryConfig) -> Behaviour:
    """The behaviour, with its prompts.

    Raises:
        ModelNotFoundError: The model is not there.
        PromptFileError: The behaviour or its prompts cannot be read.
    """
    prompts = Path(config.prompts) if config.prompts else None
    return load_behaviour(behaviour_folder(config), prompts)
