"""What answers of a model are kept by: its configuration, and the state of its files.

A path stays the same while the prompts behind it are edited, or a model is written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from circuitviz.errors import CircuitvizError
from circuitviz.models.catalog import locate_model
from circuitviz.runs.behaviour_of import behaviour_folder
from circuitviz.runs.config import DiscoveryConfig

__all__ = ["CONFIG_HASH", "config_key"]

BEHAVIOUR_FILES = ("behaviour.json", "prompts.jsonl")
MODEL_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")


def config_key(config: DiscoveryConfig) -> str:
    """The configuration with size and modification time, in ns, of the files it stands for."""
    found = sorted({path for path in _files(config) if path.is_file()})
    states = ((str(path), path.stat()) for path in found)
    times = [f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states]
    return "\n".join([repr(config), *times])


# For the caches of streamlit, which ask it at each call.
CONFIG_HASH: dict[str | type[Any], Callable[[Any], Any]] = {DiscoveryConfig: config_key}


def _files(config: DiscoveryConfig) -> Iterator[Path]:
    folders = [Path(config.adapter)] if config.adapter else []
    try:
        folders.append(locate_model(config.model))
        lies = behaviour_folder(config)
        yield from (lies / name for name in BEHAVIOUR_FILES)
    except CircuitvizError:
        # Whoever uses what is missing says so.
        pass
    for folder in folders:
        for pattern in MODEL_FILES:
            yield from folder.glob(pattern)
    if config.prompts:
        yield Path(config.prompts)
