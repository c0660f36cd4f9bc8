"""Where models lie that were fetched or converted once, to be used again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["models_cache"]


def models_cache() -> Path:
    """The folder of fetched and converted models.

    `CIRCUITVIZ_CACHE`, else `circuitviz` in the user's cache folder (`XDG_CACHE_HOME`, else
    `~/.cache`).
    """
    own = os.environ.get("CIRCUITVIZ_CACHE")
    if own:
        return Path(own) / "models"
    general = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(general) / "circuitviz" / "models"
