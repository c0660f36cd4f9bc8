"""The program that converts a GGUF file: `python -m circuitviz.models.gguf_converter`.

Its arguments are the file, an empty folder, and further facts for `origin.json` as JSON.  Exit code
2 with a line on standard error: the file cannot be converted.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from circuitviz.models.gguf import ORIGIN_FILE
from circuitviz.quiet import quiet_libraries

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
