"""The behaviour that a configuration names, and whether it has changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from circuitviz.behaviours.behaviour import (
    PROMPTS_FILE,
    SPEC_FILE,
    Behaviour,
    answered_before,
    read_behaviour,
)
from circuitviz.behaviours.plugins import find_plugin
from circuitviz.errors import (
    CircuitvizError,
    ConfigError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from circuitviz.models.source import Stamp, find_model, find_source, fingerprint
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import Run


def behaviour_folder(config: DiscoveryConfig) -> Path:
    """Where its behaviour.json lies: a folder of its own, or the model's.

    That of a plug-in's behaviour is not there.

    Raises:
        ModelNotFoundError: The model is not there.
    """
    return Path(config.behaviour) if config.behaviour else find_model(config.model)


def draft_of(config: DiscoveryConfig) -> Behaviour:
    """The behaviour as it was given, without the answers that a model gave to it since.

    For whoever holds the model: `complete_behaviour` finds or asks for those of its very weights.

    Raises:
        ModelNotFoundError: The model is not there.
        PromptFileError: The behaviour or its prompts cannot be read.
        ConfigError: The behaviour is that of a plug-in, and cannot be made, or prompts are given
            for it.
    """
    folder = behaviour_folder(config)
    if config.behaviour and not folder.is_dir():
        plugin = find_plugin(config.behaviour)
        if config.prompts:
            raise ConfigError(
                f"the behaviour {plugin.name!r} brings its own prompts and reads no others; got "
                f"the prompts {config.prompts}: leave one of the two out"
            )
        return plugin.load(find_model(config.model))
    return read_behaviour(folder, Path(config.prompts) if config.prompts else None)


def data_fingerprint(config: DiscoveryConfig) -> str:
    """Twelve hexadecimal digits of the behaviour as it was given, prompt by prompt.

    Files are read once for as long as they stay as they are; a plug-in is asked each time.

    Raises:
        CircuitvizError: As `draft_of`.
    """
    folder = behaviour_folder(config)
    if not folder.is_dir():
        return _digest(draft_of(config))
    prompts = Path(config.prompts) if config.prompts else None
    files = (folder / SPEC_FILE, prompts or folder / PROMPTS_FILE)
    stamps = [(path, path.stat()) for path in files if path.is_file()]
    stamp = tuple((str(path), about.st_size, about.st_mtime_ns) for path, about in stamps)
    return _digest_of_files(folder, prompts, stamp)


@lru_cache(maxsize=64)
def _digest_of_files(folder: Path, prompts: Path | None, stamp: Stamp) -> str:
    del stamp  # the key of the cache
    return _digest(read_behaviour(folder, prompts))


def _digest(draft: Behaviour) -> str:
    chosen = (draft.spec.judge,) if draft.spec.judge else ()
    content = repr((draft.spec, draft.all_prompts, *chosen))
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def behaviour_of(config: DiscoveryConfig) -> Behaviour:
    """The behaviour, with its prompts.

    It is a draft where answers are the intact model's and the model whose files are there now has
    not been asked yet.

    Raises:
        ModelNotFoundError: The model is not there.
        PromptFileError: The behaviour or its prompts cannot be read.
        ConfigError: The behaviour is that of a plug-in, and cannot be made.
    """
    behaviour = draft_of(config)
    if not behaviour.is_draft:
        return behaviour
    try:
        name = answerer(config)
    except (ModelNotFoundError, UnsupportedModelError):
        # Data of its own outlives the model.
        return behaviour
    return answered_before(behaviour, name) or behaviour


def answerer(config: DiscoveryConfig) -> str:
    """What the configuration's model, with the files it has now, is called for its answers.

    Raises:
        ModelNotFoundError: The model is not there.
        UnsupportedModelError: It lacks what it takes.
    """
    files = fingerprint(find_source(config.model, config.adapter))
    return " + ".join(part for part in (config.model, config.adapter, config.dtype, files) if part)


# What `metrics.json` calls it, what people call it, and what it is now.
_PARTS: tuple[tuple[str, str, Callable[[DiscoveryConfig], str]], ...] = (
    (
        "weights",
        "the model's files",
        lambda config: fingerprint(find_source(config.model, config.adapter)),
    ),
    ("data", "the prompts", data_fingerprint),
)


def changed_since(run: Run) -> list[str]:
    """What has changed since a run was made, in words; empty where nothing has.

    Runs of earlier versions do not say what they were made from, and of files that are gone nobody
    can tell: neither counts as a change.  Files are read once for as long as they stay as they are.
    """
    return [words for name, words, now in _PARTS if _differs(run, name, now)]


def _differs(run: Run, name: str, now: Callable[[DiscoveryConfig], str]) -> bool:
    then = getattr(run.metrics, name)
    try:
        return then is not None and then != now(run.config)
    except (CircuitvizError, OSError):
        return False
