"""Where the project keeps what it ships and what it writes."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
APP = PROJECT / "app.py"
ICON = PROJECT / "assets" / "icon.png"
EMBEDDED_MODELS = PROJECT / "assets" / "organisms"
EMBEDDED_RUNS = PROJECT / "assets" / "runs"


def runs_folder(chosen: str | Path | None = None) -> Path:
    """The folder new runs go to: the one chosen, else `CIRCUITVIZ_RUNS`, else `runs/` here."""
    return Path(chosen or os.environ.get("CIRCUITVIZ_RUNS") or "runs")


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


def full_path(path: str) -> str:
    """A path for whoever reads it elsewhere; "" stays empty."""
    given = path.strip()
    try:
        return str(Path(given).expanduser().resolve()) if given else ""
    except RuntimeError:
        # It begins with the home folder of somebody unknown.
        return given
