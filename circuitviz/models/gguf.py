"""Models in GGUF files, the format of llama.cpp: converted once into an ordinary model folder.

Weights are taken out of their quantised form and kept in bfloat16; `origin.json` in the folder says
from which file, and how it was quantised.  The gradient of a gate is then that of these weights.

The program that converts a GGUF file: `python -m circuitviz.models.gguf`.

Its arguments are the file, an empty folder, and further facts for `origin.json` as JSON.  Exit code
2 with a line on standard error: the file cannot be converted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from circuitviz.errors import ConfigError, UnsupportedModelError
from circuitviz.files import whole_folder
from circuitviz.paths import models_cache
from circuitviz.quiet import ENVIRONMENT, quiet_libraries

GGUF = ".gguf"
ORIGIN_FILE = "origin.json"
# The first bytes of every such file.
MAGIC = b"GGUF"
# How the parts of a model are called that lies in several files.
PART = re.compile(r"-\d{5}-of-\d{5}$")
# What reads the file: a program of its own, because the libraries draw progress bars, take twice
# the memory of the weights, and cannot be stopped.
CONVERTER = "circuitviz.models.gguf"
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


# Seconds between two looks.
LOOK = 0.3


def watch_program(
    command: Sequence[str], look: Callable[[], None], environment: Mapping[str, str]
) -> tuple[int, str]:
    """Run a program to its end, and look at what it has done meanwhile.

    Args:
        command: The program and its arguments.
        look: Called at once and every `LOOK` seconds; what it raises ends the program.
        environment: All of its variables.

    Returns:
        Its exit code, negative where a signal ended it, and what it said on standard error.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=dict(environment),
    ) as program:
        try:
            while True:
                look()
                try:
                    said = program.communicate(timeout=LOOK)[1]
                except subprocess.TimeoutExpired:
                    continue
                return program.returncode, said
        except BaseException:
            program.kill()
            raise


STORED = "bfloat16"
UNUSABLE = 2
STEP_BACK = 5
# What the libraries raise for a file that is damaged, or that they do not know.
READING_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def main(arguments: list[str]) -> int:
    """Convert a file; the exit code."""
    file, folder, told = Path(arguments[0]), Path(arguments[1]), json.loads(arguments[2])
    quiet_libraries()
    # Whoever waits for a page meanwhile comes first.
    os.nice(STEP_BACK)
    try:
        tensors = _tensor_types(file)
    except READING_FAILURES as error:
        return _unusable(f"it is damaged or cut short ({_words(error)}); get the file again")
    try:
        write_model(file, folder)
    except READING_FAILURES as error:
        return _unusable(f"{_words(error)}; choose a model that transformers can read")
    origin = {"file": file.name, "sha256": _sha256(file), "tensors": tensors, "dtype": STORED}
    text = json.dumps({**origin, **told}, indent=1) + "\n"
    (folder / ORIGIN_FILE).write_text(text, encoding="utf-8")
    return 0


def _unusable(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return UNUSABLE


def _words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def write_model(path: Path, folder: Path) -> None:
    """Write weights and tokenizer of a GGUF file into a folder that is there.

    Raises:
        Exception: One of `READING_FAILURES`, in the libraries' words.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        path.parent, gguf_file=path.name, local_files_only=True
    )
    # It would be written down with the tokenizer, and a model is the same wherever it is converted.
    tokenizer.init_kwargs["local_files_only"] = False
    read = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, local_files_only=True, dtype=torch.bfloat16
    )
    _unquantised(read).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _unquantised(read: Any) -> Any:
    """The same weights in a model that was never quantised: one that was refuses to be saved."""
    import torch
    from transformers import AutoModelForCausalLM

    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(read.state_dict())
    model.generation_config = read.generation_config
    return model.eval()


def _tensor_types(path: Path) -> dict[str, int]:
    """How many tensors the file holds in each form, by the form's name."""
    from gguf import GGUFReader

    counts = Counter(tensor.tensor_type.name for tensor in GGUFReader(path).tensors)
    return dict(counts.most_common())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
