"""Settings as a report shows them.

A report is sent to others: what is called by its path goes by its name alone, since the folders of
this machine are nothing to readers.  The notebook, which runs again here, has the paths.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from circuitviz.models.hub import is_hub_id
from circuitviz.runs.config import DiscoveryConfig

__all__ = ["shown_name", "shown_settings"]

# Settings that may be paths.
PLACES = ("model", "adapter", "behaviour", "prompts")


def shown_name(place: str) -> str:
    """The last part of a path; a name or a Hugging Face id, `org/name`, as it is."""
    return place if is_hub_id(place) else Path(place).name or place


def shown_settings(config: DiscoveryConfig) -> dict[str, Any]:
    """Every setting of a discovery, as JSON values."""
    settings = config.to_json()
    named = {name: shown_name(settings[name]) for name in PLACES if settings[name] is not None}
    return settings | named
