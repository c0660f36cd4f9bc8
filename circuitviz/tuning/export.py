"""Write a changed model as an ordinary Hugging Face folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from circuitviz import __version__
from circuitviz.errors import ConfigError
from circuitviz.whole_folder import whole_folder

__all__ = ["CARD_FILE", "require_export_folder", "write_checkpoint"]

CARD_FILE = "README.md"
# Lists what an export wrote, so that a later one replaces that and nothing else.
MARKER_FILE = "circuitviz_export.json"


def write_checkpoint(model: PreTrainedModel, tokenizer: Any, folder: Path, card: str) -> Path:
    """Write weights (safetensors), configuration, tokenizer and model card.

    The folder appears only when it is complete; an earlier export there is replaced.

    Args:
        model: What to write, in its own dtype.
        tokenizer: Its tokenizer.
        folder: Where to.
        card: The model card, Markdown.

    Returns:
        The folder.

    Raises:
        ConfigError: Something else lies there already.
    """
    require_export_folder(folder)
    with whole_folder(folder.resolve()) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        (draft / CARD_FILE).write_text(card, encoding="utf-8")
        marker = {"circuitviz": __version__, "files": _files(draft)}
        (draft / MARKER_FILE).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")
    return folder


def require_export_folder(folder: Path) -> None:
    """Refuse a folder that an export must not replace, before the work is done.

    Raises:
        ConfigError: It is a file, or holds anything that an earlier export did not write.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a new or an empty folder to export to")
    written = _written(folder)
    # Without an earlier export nothing may lie there, and there can be very much of it.
    found = _files(folder) if written else [path.name for path in folder.iterdir()]
    strange = sorted(set(found) - written)
    if strange:
        more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
        raise ConfigError(
            f"{folder} holds {strange[0]}{more}, which no earlier export wrote; name a new or an "
            "empty folder to export to"
        )


def _written(folder: Path) -> set[str]:
    """What an earlier export says it wrote there."""
    try:
        marker = json.loads((folder / MARKER_FILE).read_text(encoding="utf-8"))
        return {MARKER_FILE, *map(str, marker["files"])}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()
    )
