"""Saved things, one folder each, whole or not there: what stores of runs and of tunings share."""

from __future__ import annotations

import contextlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from safetensors import SafetensorError

from circuitviz.errors import CircuitvizError, RunFormatError, RunNotFoundError

Saved = TypeVar("Saved")

# What reading a damaged folder raises.
DAMAGED = (
    CircuitvizError,
    SafetensorError,
    AttributeError,
    IndexError,
    KeyError,
    OSError,
    TypeError,
    ValueError,
)


class FolderStore(ABC, Generic[Saved]):
    """Things saved under one folder, and any such folder given by its path.

    Args:
        folder: Where new ones go; made on the first save.
        shipped: Further folders that are only read.

    Attributes:
        noun: What one of them is called.
        files: What a complete folder holds.
        choose: Where to find the id of one.
    """

    noun: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    choose: ClassVar[str]

    def __init__(self, folder: Path, shipped: tuple[Path, ...] = ()) -> None:
        self.folder = folder
        self.shipped = shipped

    def ids(self) -> list[str]:
        """Ids of all complete ones: own ones newest first, then shipped ones by name."""
        return list(dict.fromkeys(path.name for path in self._folders()))

    def path(self, name: str) -> Path:
        """The folder of the one with an id or under a path.

        Raises:
            RunNotFoundError: There is none.
        """
        candidates = [folder / name for folder in (self.folder, *self.shipped)] + [Path(name)]
        for candidate in candidates:
            if name and candidate.is_dir():
                return candidate
        raise RunNotFoundError(f"no {self.noun} {name!r} under {self.folder}; {self.choose}")

    def load(self, name: str) -> Saved:
        """Read the one with an id or under a path.

        Raises:
            RunNotFoundError: There is none.
            RunFormatError: Its folder is not of this kind, or is damaged.
        """
        folder = self.path(name)
        missing = [file for file in self.files if not (folder / file).is_file()]
        if missing:
            raise RunFormatError(
                f"{folder} is not a {self.noun} folder: {', '.join(missing)} missing"
            )
        try:
            return self._read(folder)
        except DAMAGED as error:
            reason = " ".join(str(error).split())
            raise RunFormatError(f"cannot read the {self.noun} in {folder}: {reason}") from error

    def delete(self, name: str) -> None:
        """Remove an own one.

        Raises:
            RunNotFoundError: No own one has that id.
        """
        folder = self.folder / name
        if not name or folder.parent != self.folder or not self._is_complete(folder):
            raise RunNotFoundError(f"no {self.noun} {name!r} to delete under {self.folder}")
        shutil.rmtree(folder)

    @abstractmethod
    def _read(self, folder: Path) -> Saved:
        """Read a complete folder; may raise any of `DAMAGED`."""

    def _folders(self) -> Iterator[Path]:
        """The complete folders, in the order of `ids`."""
        yield from newest_first(self._complete(self.folder))
        for folder in self.shipped:
            yield from sorted(self._complete(folder))

    def _complete(self, folder: Path) -> Iterator[Path]:
        if folder.is_dir():
            yield from filter(self._is_complete, folder.iterdir())

    def _is_complete(self, folder: Path) -> bool:
        return not folder.name.startswith(".") and all(
            (folder / file).is_file() for file in self.files
        )


def newest_first(folders: Iterable[Path]) -> list[Path]:
    """The folders, the last changed first; one that somebody removes meanwhile is left out."""
    changed = []
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            changed.append((folder.stat().st_mtime, folder))
    return [folder for _, folder in sorted(changed, key=lambda one: -one[0])]
