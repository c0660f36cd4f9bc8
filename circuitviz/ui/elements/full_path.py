"""Paths that somebody typed."""

from __future__ import annotations

from pathlib import Path

__all__ = ["full_path"]


def full_path(path: str) -> str:
    """A path for whoever reads it elsewhere; "" stays empty."""
    given = path.strip()
    try:
        return str(Path(given).expanduser().resolve()) if given else ""
    except RuntimeError:
        # It begins with the home folder of somebody unknown.
        return given
