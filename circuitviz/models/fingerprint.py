"""Which model the files of a checkpoint are, whatever their folder is called."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from circuitviz.models.adapter import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from circuitviz.models.checkpoint import CONFIG_FILE, TOKENIZER_FILES, weight_files
from circuitviz.models.source import ModelSource

# What answers depend on besides weights: tokens and the chat template.
TEXT_FILES = (*TOKENIZER_FILES, "tokenizer_config.json", "chat_template.jinja")

# Path, size and time of change of every file.
Stamp = tuple[tuple[str, int, int], ...]


def fingerprint(source: ModelSource) -> str:
    """Twelve hexadecimal digits of all that a model's answers hang on, byte for byte.

    Files are read once for as long as they stay as they are.

    Raises:
        UnsupportedModelError: The index of the weights' files cannot be read.
    """
    return _digest(file_stamp(source))


def file_stamp(source: ModelSource) -> Stamp:
    """What changes when one of these files does, without reading them.

    Raises:
        UnsupportedModelError: The index of the weights' files cannot be read.
    """
    files = [source.base / CONFIG_FILE, *weight_files(source.base)]
    files += [source.tokenizer / name for name in TEXT_FILES]
    if source.adapter is not None:
        files += [source.adapter.folder / name for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)]
    found = [(path, path.stat()) for path in files if path.is_file()]
    return tuple((str(path), about.st_size, about.st_mtime_ns) for path, about in found)


@lru_cache(maxsize=64)
def _digest(stamp: Stamp) -> str:
    found = hashlib.sha256()
    for path, size, _ in stamp:
        found.update(f"{Path(path).name} {size}\n".encode())
        with Path(path).open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:12]
