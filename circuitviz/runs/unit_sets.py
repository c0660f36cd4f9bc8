"""Named sets of units, saved beside the runs they were made on.

    <runs>/.sets/<run id>/<slug>-<hash of the name>.json
        {"name", "run", "units": [names], "ablation", "created"}

Not inside the run's folder: a run that ships is only read, and one's own is replaced as a whole
when its controls are run.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from circuitviz.errors import ConfigError, RunNotFoundError
from circuitviz.files import whole_file
from circuitviz.runs.config import AblationKind
from circuitviz.units import Unit

SETS = ".sets"
LONGEST_NAME = 60


@dataclass(frozen=True)
class UnitSet:
    """A set of units under a name.

    Attributes:
        name: As people read it.
        units: Names of the units.
        ablation: What replaced them when the set was saved.
        created: When, ISO 8601 in UTC.
    """

    name: str
    units: frozenset[str]
    ablation: AblationKind
    created: str


def checked_name(name: str) -> str:
    """A name without surrounding or doubled blanks.

    Raises:
        ConfigError: It is empty, too long, or has characters that cannot be seen.
    """
    plain = " ".join(name.split())
    if not plain:
        raise ConfigError("a set needs a name; type one, such as 'without the early head'")
    if len(plain) > LONGEST_NAME:
        raise ConfigError(
            f"a set's name has at most {LONGEST_NAME} characters; this one has {len(plain)}"
        )
    hidden = [character for character in plain if unicodedata.category(character)[0] == "C"]
    if hidden:
        raise ConfigError(f"a set's name has visible characters only; got {hidden[0]!r} in it")
    return plain


class UnitSetStore:
    """The saved sets of all runs under one folder.

    Args:
        folder: The runs folder; made on the first save.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, run_id: str, name: str, units: Iterable[str], ablation: AblationKind) -> UnitSet:
        """Write a set; one of the same name is replaced.

        Raises:
            ConfigError: The name cannot be used, or the file cannot be written.
        """
        kept = UnitSet(
            checked_name(name),
            frozenset(str(Unit.parse(unit)) for unit in units),
            ablation,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )
        path = self._path(run_id, kept.name)
        try:
            self._write(path, run_id, kept)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(
                f"cannot save the set {kept.name!r} in {path.parent}: {reason}; free some space "
                "there, or give another runs folder in CIRCUITVIZ_RUNS"
            ) from error
        return kept

    def sets(self, run_id: str) -> list[UnitSet]:
        """The sets saved for a run, newest first; files that are no sets are passed over."""
        sets = list(self._read_all(self._home(run_id)))
        return sorted(sets, key=lambda one: (one.created, one.name), reverse=True)

    def load(self, run_id: str, name: str) -> UnitSet:
        """Read a set.

        Raises:
            RunNotFoundError: No set of this run has that name.
        """
        unit_set = self._read(self._path(run_id, name))
        if unit_set is None:
            raise RunNotFoundError(
                f"no set {name!r} is saved for the run {run_id} under {self.folder}; save it, or "
                "open the app with the runs folder it was saved in"
            )
        return unit_set

    def delete(self, run_id: str, name: str) -> None:
        """Remove a set; one that is not there is gone already."""
        self._path(run_id, name).unlink(missing_ok=True)

    def _home(self, run_id: str) -> Path:
        # A link may name any run: what is no plain name gets a folder that is never there.
        plain = run_id if re.fullmatch(r"[\w.-]+", run_id) and run_id.strip(".") else "_"
        return self.folder / SETS / plain

    def _path(self, run_id: str, name: str) -> Path:
        # The hash tells names apart, whatever they are; the slug is for people.
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "set"
        mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        return self._home(run_id) / f"{slug}-{mark}.json"

    @staticmethod
    def _write(path: Path, run_id: str, kept: UnitSet) -> None:
        data = {
            "name": kept.name,
            "run": run_id,
            "units": [str(unit) for unit in sorted(map(Unit.parse, kept.units))],
            "ablation": kept.ablation,
            "created": kept.created,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as draft:
            text = json.dumps(data, indent=1, ensure_ascii=False)
            draft.write_text(f"{text}\n", encoding="utf-8")

    @classmethod
    def _read_all(cls, home: Path) -> Iterator[UnitSet]:
        if home.is_dir():
            for path in home.glob("[!.]*.json"):
                unit_set = cls._read(path)
                if unit_set is not None:
                    yield unit_set

    @staticmethod
    def _read(path: Path) -> UnitSet | None:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            units = frozenset(str(Unit.parse(unit)) for unit in data["units"])
            if data["ablation"] not in get_args(AblationKind):
                return None
            return UnitSet(
                checked_name(data["name"]), units, data["ablation"], str(data["created"])
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError):
            return None
