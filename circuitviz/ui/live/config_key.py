"""What answers of a model are kept by: its configuration, and the state of its files.

A path stays the same while the prompts behind it are edited, or a model is written anew.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from circuitviz.errors import CircuitvizError
from circuitviz.models.fingerprint import Stamp, file_stamp
from circuitviz.models.source import find_source
from circuitviz.runs.behaviour_of import behaviour_folder
from circuitviz.runs.config import DiscoveryConfig

__all__ = ["CONFIG_HASH", "config_key"]

BEHAVIOUR_FILES = ("behaviour.json", "prompts.jsonl")


def config_key(config: DiscoveryConfig) -> str:
    """The configuration, with size and time of change of the files it stands for."""
    states = [f"{path} {size} {time}" for path, size, time in _model_files(config)]
    for path in _behaviour_files(config):
        if path.is_file():
            about = path.stat()
            states.append(f"{path} {about.st_size} {about.st_mtime_ns}")
    return "\n".join([repr(config), *states])


# For the caches of streamlit, which ask it at each call.
CONFIG_HASH: dict[str | type[Any], Callable[[Any], Any]] = {DiscoveryConfig: config_key}


def _model_files(config: DiscoveryConfig) -> Stamp:
    try:
        return file_stamp(find_source(config.model, config.adapter))
    except CircuitvizError:
        # Whoever needs the model says what is wrong with it.
        return ()


def _behaviour_files(config: DiscoveryConfig) -> list[Path]:
    own = [Path(config.prompts)] if config.prompts else []
    try:
        folder = behaviour_folder(config)
    except CircuitvizError:
        return own
    return [*own, *(folder / name for name in BEHAVIOUR_FILES)]
