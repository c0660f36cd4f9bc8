"""Models in GGUF files, the format of llama.cpp: converted once into an ordinary model folder.

Weights are taken out of their quantised form and kept in bfloat16; `origin.json` in the folder says
from which file, and how it was quantised.  The gradient of a gate is then that of these weights.

As a program, `python -m circuitviz.models.gguf`, this converts: its arguments are the file, an
empty folder, and further facts for `origin.json` as JSON.  Exit code 2 with a line on standard
error: the file cannot be converted.
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
from circuitviz.files import models_cache, whole_folder
from circuitviz.quiet import ENVIRONMENT, quiet_libraries

GGUF = ".gguf"
ORIGIN_FILE = "origin.json"
# The first bytes of every such file.
MAGIC = b"GGUF"
# How the parts of a model are called that lies in several files.
_PART = re.compile(r"-\d{5}-of-\d{5}$")
# Seconds between two looks at a program that runs.
POLL_INTERVAL = 0.3
# Exit codes of a program that the system ended, and of a file that cannot be converted.
KILLED, UNUSABLE = -9, 2


def is_gguf(path: Path) -> bool:
    """Whether a path is that of a GGUF file that is there."""
    return path.suffix.lower() == GGUF and path.is_file()


def converted(path: Path) -> Path:
    """The model folder of a GGUF file, made on the first call for the file as it is now.

    Raises:
        UnsupportedModelError: The file cannot be read, or is of a kind transformers cannot convert.
        ConfigError: There is not enough memory for it.
    """
    stat = path.stat()
    stamp = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    digest = hashlib.sha256(stamp.encode()).hexdigest()[:12]
    folder = models_cache() / f"{path.stem}-{digest}"
    if not (folder / ORIGIN_FILE).is_file():
        refusal = _refusal(path, folder)
        if refusal:
            raise UnsupportedModelError(refusal)
        if not folder.is_dir():
            # Converted earlier, and removed since.
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
    facts: Mapping[str, str] | None = None,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Write the model of a GGUF file as an ordinary folder, whole or not at all.

    Args:
        path: The file.
        folder: What to write; an earlier one is replaced.
        facts: Further ones for `origin.json`.
        look: Called several times a second meanwhile; what it raises stops the work.

    Raises:
        UnsupportedModelError: The file cannot be read, or is of a kind transformers cannot convert.
        ConfigError: There is not enough memory for it.
    """
    _require_whole(path)
    with whole_folder(folder) as draft:
        # A program of its own, because the libraries draw progress bars, take twice the memory of
        # the weights, and cannot be stopped.  Paths are not resolved: a link may have the name that
        # says what the file is.
        code, errors = watch_program(
            [
                *(sys.executable, "-m", "circuitviz.models.gguf"),
                *(str(path.absolute()), str(draft.absolute()), json.dumps(dict(facts or {}))),
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
            lines = errors.strip().splitlines() or [f"the converter ended with exit code {code}"]
            raise UnsupportedModelError(f"cannot convert {path}: {lines[-1]}")


def _require_whole(path: Path) -> None:
    """Refuse what is no GGUF file of a whole model, before anything slow is imported."""
    if find_spec("gguf") is None:
        raise UnsupportedModelError(
            f"reading {path} needs the package gguf, which is not installed: pip install gguf"
        )
    if _PART.search(path.stem):
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


def watch_program(
    command: Sequence[str], look: Callable[[], None], environment: Mapping[str, str]
) -> tuple[int, str]:
    """Run a program to its end, and look at what it has done meanwhile.

    Args:
        command: The program and its arguments.
        look: Called at once and every `POLL_INTERVAL` seconds; what it raises ends the program.
        environment: All of its variables.

    Returns:
        Its exit code, negative where a signal ended it, and its text on standard error.
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
                    errors = program.communicate(timeout=POLL_INTERVAL)[1]
                except subprocess.TimeoutExpired:
                    continue
                return program.returncode, errors
        except BaseException:
            program.kill()
            raise


def _main(file: Path, folder: Path, facts: Mapping[str, str]) -> int:
    """Convert a file in this process; the exit code."""
    quiet_libraries()
    # A user may wait for a page meanwhile.
    os.nice(5)
    # The libraries raise all kinds of errors for a file that is damaged, or that they do not know.
    try:
        tensors = _tensor_types(file)
    except Exception as error:
        return _unusable(f"it is damaged or cut short ({_first_line(error)}); get the file again")
    try:
        _write_model(file, folder)
    except Exception as error:
        return _unusable(f"{_first_line(error)}; choose a model that transformers can read")
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    origin = {"file": file.name, "sha256": digest, "tensors": tensors, "dtype": "bfloat16", **facts}
    (folder / ORIGIN_FILE).write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")
    return 0


def _unusable(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return UNUSABLE


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _tensor_types(path: Path) -> dict[str, int]:
    """How many tensors the file holds in each form, by the form's name."""
    from gguf import GGUFReader

    counts = Counter(tensor.tensor_type.name for tensor in GGUFReader(path).tensors)
    return dict(counts.most_common())


def _write_model(path: Path, folder: Path) -> None:
    """Write weights and tokenizer of a GGUF file into a folder that is there."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        path.parent, gguf_file=path.name, local_files_only=True
    )
    # It would be written down with the tokenizer, and a model is the same wherever it is converted.
    tokenizer.init_kwargs["local_files_only"] = False
    quantised = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, local_files_only=True, dtype=torch.bfloat16
    )
    # The same weights in a model that was never quantised: one that was refuses to be saved.
    config: Any = quantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(quantised.state_dict())
    model.generation_config = quantised.generation_config
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])))
