"""Models in GGUF files, the format of llama.cpp: converted once into an ordinary model folder.

Weights are taken out of their quantised form and kept in bfloat16; `origin.json` in the folder says
from which file, and how it was quantised.  The gradient of a gate is then that of these weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from circuitviz.errors import ConfigError, UnsupportedModelError
from circuitviz.files import whole_folder
from circuitviz.models.watched_process import watch_program
from circuitviz.paths import models_cache
from circuitviz.quiet import ENVIRONMENT

GGUF = ".gguf"
ORIGIN_FILE = "origin.json"
# The first bytes of every such file.
MAGIC = b"GGUF"
# How the parts of a model are called that lies in several files.
PART = re.compile(r"-\d{5}-of-\d{5}$")
# What reads the file: a program of its own, because the libraries draw progress bars, take twice
# the memory of the weights, and cannot be stopped.
CONVERTER = "circuitviz.models.gguf_converter"
# The exit code of a program that the system ended.
KILLED = -9


def is_gguf(path: Path) -> bool:
    """Whether a path is that of a GGUF file that is there."""
    return path.suffix.lower() == GGUF and path.is_file()


def converted(path: Path) -> Path:
    """The model folder of a GGUF file, made on the first call for the file as it is now.

    Raises:
        UnsupportedModelError: The file cannot be read, or is of a kind transformers cannot convert.
        ConfigError: There is not enough memory for it.
    """
    about = path.stat()
    stamp = f"{path.resolve()} {about.st_size} {about.st_mtime_ns}"
    digest = hashlib.sha256(stamp.encode()).hexdigest()[:12]
    folder = models_cache() / f"{path.stem}-{digest}"
    if not (folder / ORIGIN_FILE).is_file():
        refusal = _refusal(path, folder)
        if refusal:
            raise UnsupportedModelError(refusal)
        if not folder.is_dir():
            # It was there, and somebody removed it.
            convert(path, folder)
    return folder


# Pages ask again and again, and a file that was refused once stays as it is.
@lru_cache(maxsize=64)
def _refusal(path: Path, folder: Path) -> str:
    """Convert a file, and say why that cannot be done; "" where it is done."""
    try:
        convert(path, folder)
    except UnsupportedModelError as error:
        return str(error)
    return ""


def convert(
    path: Path,
    folder: Path,
    told: Mapping[str, str] | None = None,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Write the model of a GGUF file as an ordinary folder, whole or not at all.

    Args:
        path: The file.
        folder: What to write; an earlier one is replaced.
        told: Further facts for `origin.json`.
        look: Called several times a second meanwhile; what it raises stops the work.

    Raises:
        UnsupportedModelError: The file cannot be read, or is of a kind transformers cannot convert.
        ConfigError: There is not enough memory for it.
    """
    _require_whole(path)
    with whole_folder(folder) as draft:
        code, said = watch_program(
            # Not resolved: a link may have the name that says what the file is.
            [
                *(sys.executable, "-m", CONVERTER, str(path.absolute()), str(draft.absolute())),
                json.dumps(dict(told or {})),
            ],
            look,
            {**ENVIRONMENT, **os.environ, "HF_HUB_OFFLINE": "1"},
        )
        if code == KILLED:
            raise ConfigError(
                f"converting {path} was ended from outside (often a lack of memory); free some, "
                "and try again"
            )
        if code:
            lines = said.strip().splitlines() or [f"the converter ended with exit code {code}"]
            raise UnsupportedModelError(f"cannot convert {path}: {lines[-1]}")


def _require_whole(path: Path) -> None:
    """Refuse what is no GGUF file of a whole model, before anything slow is imported."""
    if find_spec("gguf") is None:
        raise UnsupportedModelError(
            f"reading {path} needs the package gguf, which is not installed: pip install gguf"
        )
    if PART.search(path.stem):
        raise UnsupportedModelError(
            f"{path} is one of several parts of a model; put them together first, with llama.cpp's "
            "llama-gguf-split --merge"
        )
    try:
        with path.open("rb") as file:
            first = file.read(len(MAGIC))
    except OSError as error:
        raise UnsupportedModelError(f"cannot read {path}: {error.strerror}") from error
    if first != MAGIC:
        raise UnsupportedModelError(
            f"{path} is not a GGUF file: it begins with {first!r} instead of {MAGIC!r}; get the "
            "file again"
        )
