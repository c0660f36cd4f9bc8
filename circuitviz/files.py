"""Where files lie, and how they are written whole."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from secrets import token_hex
from typing import Any

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
        # It begins with the home folder of an unknown user.
        return given


def json_text(value: Any, *, indent: int | None = None) -> str:
    """The value as JSON, with null for numbers that are not finite: JSON knows none."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


@contextmanager
def whole_file(final: Path) -> Iterator[Path]:
    """An empty draft beside `final` that takes its place when the block ends.

    Readers see the earlier file or the new one, never a part; after an error there is no draft.
    The folder has to be there; who may read the file is up to the user's umask.
    """
    draft = final.absolute().with_name(f".{final.name}-{token_hex(4)}")
    draft.touch(exist_ok=False)
    try:
        yield draft
        os.replace(draft, final)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(final: Path, taking: Mapping[str, Path] | None = None) -> Iterator[Path]:
    """An empty draft folder beside `final` that takes its place when the block ends.

    After an error there is no draft, and an earlier `final` is as it was.

    Args:
        final: What the folder becomes.
        taking: Folders that move into it, by their names there; after an error they are back.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    try:
        yield draft
        draft.chmod(0o755)
        with _moved({path: draft / name for name, path in (taking or {}).items()}):
            _replace(final, draft)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


@contextmanager
def _moved(targets: Mapping[Path, Path]) -> Iterator[None]:
    """Folders moved elsewhere for good, or back again if the block fails."""
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in targets.items():
            shutil.move(source, target)
            done.append((source, target))
        yield
    except BaseException:
        for source, target in done:
            shutil.move(target, source)
        raise


def _replace(final: Path, draft: Path) -> None:
    """Move a complete draft to its place; if that fails, an earlier folder is back in it."""
    if not final.exists():
        os.rename(draft, final)
        return
    # A folder cannot be replaced in one step: the earlier one steps aside first.
    earlier = draft.with_name(f"{draft.name}-earlier")
    os.rename(final, earlier)
    try:
        os.rename(draft, final)
    except BaseException:
        os.rename(earlier, final)
        raise
    shutil.rmtree(earlier, ignore_errors=True)
