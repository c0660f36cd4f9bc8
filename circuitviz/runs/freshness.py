"""Whether the files that a run was made from are still what they were."""

from __future__ import annotations

from collections.abc import Callable

from circuitviz.errors import CircuitvizError
from circuitviz.models.fingerprint import fingerprint
from circuitviz.models.source import find_source
from circuitviz.runs.behaviour_of import data_fingerprint
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import Run

__all__ = ["changed_since"]

# What `metrics.json` calls it, what people call it, and what it is now.
PARTS: tuple[tuple[str, str, Callable[[DiscoveryConfig], str]], ...] = (
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
    return [words for name, words, now in PARTS if _differs(run, name, now)]


def _differs(run: Run, name: str, now: Callable[[DiscoveryConfig], str]) -> bool:
    if name not in run.metrics:
        return False
    try:
        return run.metrics[name] != now(run.config)
    except (CircuitvizError, OSError):
        return False
