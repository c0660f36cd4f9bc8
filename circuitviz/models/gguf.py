"""Models in GGUF files, the format of llama.cpp: converted once into an ordinary model folder.

Weights are taken out of their quantised form and kept in bfloat16; `origin.json` in the folder says
from which file, and how it was quantised.  The gradient of a gate is then that of these weights.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from circuitviz.errors import UnsupportedModelError
from circuitviz.models.cache import models_cache
from circuitviz.whole_folder import whole_folder

__all__ = ["GGUF", "ORIGIN_FILE", "convert", "converted", "is_gguf"]

GGUF = ".gguf"
ORIGIN_FILE = "origin.json"
STORED = "bfloat16"


def is_gguf(path: Path) -> bool:
    """Whether a path is that of a GGUF file that is there."""
    return path.suffix.lower() == GGUF and path.is_file()


def converted(path: Path) -> Path:
    """The model folder of a GGUF file, made on the first call for the file as it is now.

    Raises:
        UnsupportedModelError: The file cannot be read, or is of a kind transformers cannot convert.
    """
    about = path.stat()
    stamp = f"{path.resolve()} {about.st_size} {about.st_mtime_ns}"
    digest = hashlib.sha256(stamp.encode()).hexdigest()[:12]
    folder = models_cache() / f"{path.stem}-{digest}"
    if not (folder / ORIGIN_FILE).is_file():
        convert(path, folder)
    return folder


def convert(path: Path, folder: Path, told: Mapping[str, str] | None = None) -> None:
    """Write the model of a GGUF file as an ordinary folder, whole or not at all.

    Args:
        path: The file.
        folder: What to write.
        told: Further facts for `origin.json`.

    Raises:
        UnsupportedModelError: The file cannot be read, or is of a kind transformers cannot convert.
    """
    # Late: slow to import.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from circuitviz.models.weights import loading

    with loading(path):
        quantised = _tensor_types(path)
        tokenizer = AutoTokenizer.from_pretrained(
            path.parent, gguf_file=path.name, local_files_only=True
        )
        read = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, local_files_only=True, dtype=torch.float32
        )
        model = _unquantised(read)
    origin = {
        "file": path.name,
        "sha256": _sha256(path),
        "tensors": quantised,
        "dtype": STORED,
        **(told or {}),
    }
    with whole_folder(folder) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        (draft / ORIGIN_FILE).write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")


def _unquantised(read: Any) -> Any:
    """The same weights in a model that was never quantised: one that was refuses to be saved."""
    import torch
    from transformers import AutoModelForCausalLM

    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(read.to(torch.bfloat16).state_dict())
    model.generation_config = read.generation_config
    return model.eval()


def _tensor_types(path: Path) -> dict[str, int]:
    """How many tensors the file holds in each form, by the form's name."""
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise UnsupportedModelError(
            f"reading {path} needs the package gguf, which is not installed: pip install gguf"
        ) from error
    counts = Counter(tensor.tensor_type.name for tensor in GGUFReader(path).tensors)
    return dict(counts.most_common())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
