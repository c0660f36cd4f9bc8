"""Folders of saved runs and tunings in the order in which they are listed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path


def newest_first(folders: Iterable[Path]) -> list[Path]:
    """The folders, the last changed first; one that somebody removes meanwhile is left out."""
    found = []
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            found.append((folder.stat().st_mtime, folder))
    return [folder for _, folder in sorted(found, key=lambda one: -one[0])]
