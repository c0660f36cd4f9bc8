"""The files of a model's folder: checkpoints, LoRA adapters, and why one cannot be used.

Nothing here reads a weight, and nothing that could run code when it is read.

The files of a checkpoint: what is there, what is missing, and what its weights' headers say.

Nothing here reads a weight, and nothing that could run code when it is read.

LoRA adapters as peft saves them: what is refused, and what they stand on.

Nothing here reads a weight or imports what an adapter names.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from circuitviz.errors import ModelNotFoundError, UnsupportedModelError

CONFIG_FILE = "config.json"
# What transformers loads: the one file where it is there, else those that the index names.
SAFETENSORS = ".safetensors"
WEIGHTS_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
# Weights in these formats are pickles, which can run code when they are read.
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
# A header is JSON of some hundred bytes a tensor; more than this is no header.
LONGEST_HEADER = 100_000_000
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class StoredWeights:
    """What the safetensors files of a checkpoint say of themselves.

    Attributes:
        shapes: Shape by tensor name, as stored.
        dtype: The dtype most weights are stored in, by torch's name.
    """

    shapes: dict[str, tuple[int, ...]]
    dtype: str

    @property
    def parameters(self) -> int:
        """Weights in all; tied ones are stored once."""
        return sum(prod(shape) for shape in self.shapes.values())


def checkpoint_refusals(folder: Path) -> tuple[str, ...]:
    """Why the files of a folder are not a checkpoint that can be loaded; empty if they are."""
    if not (folder / CONFIG_FILE).is_file():
        reason = f"{folder} is not a Hugging Face model folder: {CONFIG_FILE} missing"
        return (reason + _hint(folder),)
    refusals = []
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        refusals.append(
            f"{folder} has no tokenizer: expected {', '.join(TOKENIZER_FILES[:-1])} or "
            f"{TOKENIZER_FILES[-1]}; save the tokenizer into the folder"
        )
    weights = _weights_refusal(folder)
    return (*refusals, *([weights] if weights else []))


def _hint(folder: Path) -> str:
    """What to name instead of a folder that holds GGUF files."""
    found = sorted(path for path in folder.glob("*.gguf") if path.is_file())
    return f"; name the GGUF file in it instead: {found[0]}" if found else ""


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that a checkpoint's weights are loaded from; others in its folder are not read.

    Raises:
        UnsupportedModelError: The index of its files cannot be read.
    """
    if (folder / WEIGHTS_FILE).is_file():
        return (folder / WEIGHTS_FILE,)
    if not (folder / INDEX_FILE).is_file():
        return ()
    named = read_json(folder / INDEX_FILE).get("weight_map")
    names = {*map(str, named.values())} if isinstance(named, dict) else set()
    return tuple(folder / name for name in sorted(names))


def stored_weights(folder: Path, name: str | None = None) -> StoredWeights:
    """Read the headers of the files that a checkpoint is loaded from.

    Args:
        folder: The checkpoint's.
        name: A file to read instead.

    Raises:
        UnsupportedModelError: One of them is damaged.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    sizes: Counter[str] = Counter()
    files = weight_files(folder) if name is None else (folder / name,)
    for path in (path for path in files if path.suffix == SAFETENSORS and path.is_file()):
        for name, (dtype, shape) in _header(path).items():
            shapes[name] = shape
            sizes[dtype] += prod(shape)
    most = sizes.most_common(1)[0][0] if sizes else ""
    return StoredWeights(shapes, DTYPES.get(most, most.lower()))


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        UnsupportedModelError: It holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnsupportedModelError(
            f"{path} cannot be read as JSON: {error}; get the file again"
        ) from error
    if not isinstance(content, dict):
        raise UnsupportedModelError(
            f"{path} must hold a JSON object; it holds a {type(content).__name__}: get the file "
            "again"
        )
    return content


def _weights_refusal(folder: Path) -> str | None:
    if (folder / WEIGHTS_FILE).is_file():
        return None
    index = folder / INDEX_FILE
    if index.is_file():
        return _index_refusal(folder, index)
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if not pickles:
        return (
            f"{folder} has no safetensors weights ({WEIGHTS_FILE}, or {INDEX_FILE} and the files "
            "it names); save the model into it with save_pretrained, or get them"
        )
    more = f" and {len(pickles) - 1} more" if len(pickles) > 1 else ""
    return (
        f"{folder} has its weights only as a pickle ({pickles[0]}{more}), which can run code when "
        "it is read; where you trust it, convert it: AutoModelForCausalLM.from_pretrained"
        f"({str(folder)!r}).save_pretrained({str(folder)!r}) writes safetensors beside it"
    )


def _index_refusal(folder: Path, index: Path) -> str | None:
    try:
        files = weight_files(folder)
    except UnsupportedModelError as error:
        return str(error)
    if not files:
        return f"{index} names no files: weight_map missing; get the file again"
    # The format is told by the end of the name, and pickles would be loaded as such.
    other = [path.name for path in files if path.suffix != SAFETENSORS]
    if other:
        return (
            f"{index} names {other[0]}, which is not a safetensors file; get the model's "
            "safetensors weights and their index"
        )
    missing = [path.name for path in files if not path.is_file()]
    if not missing:
        return None
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return (
        f"{folder} is incomplete: {INDEX_FILE} names {missing[0]}{more}, which is not there; get "
        "the missing weights"
    )


def _header(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Dtype and shape by tensor name.  The format: 8 bytes of length, then so much JSON."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LONGEST_HEADER:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        found = {
            name: (str(entry["dtype"]), tuple(map(int, entry["shape"])), entry["data_offsets"][1])
            for name, entry in header.items()
            if name != "__metadata__"
        }
        end = 8 + length + max((offset for _, _, offset in found.values()), default=0)
        if path.stat().st_size < end:
            raise ValueError(f"{path.stat().st_size} bytes of {end}")
    except (KeyError, OSError, TypeError, ValueError, struct.error, AttributeError) as error:
        raise UnsupportedModelError(
            f"{path} is damaged or cut short ({error}); get the file again"
        ) from error
    return {name: (dtype, shape) for name, (dtype, shape, _) in found.items()}


ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter in a local folder.

    Attributes:
        folder: Where it lies.
        base: The model it says it was trained on, a path or an id; None if it does not say.
    """

    folder: Path
    base: str | None

    @classmethod
    def of_folder(cls, folder: Path) -> Adapter:
        """Read an adapter's configuration.

        Raises:
            ModelNotFoundError: There is no such folder.
            UnsupportedModelError: It holds no adapter that can be merged.
        """
        if not folder.is_dir():
            raise ModelNotFoundError(
                f"no adapter {str(folder)!r}: give the path of a local folder with {ADAPTER_CONFIG}"
            )
        refusals = adapter_refusals(folder)
        if refusals:
            raise UnsupportedModelError(refusals[0])
        base = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
        return cls(folder, base if isinstance(base, str) and base else None)

    @property
    def base_path(self) -> str | None:
        """The base as a path where it lies beside the adapter, else as the adapter names it."""
        if self.base is None or Path(self.base).is_absolute():
            return self.base
        beside = self.folder / self.base
        return str(beside) if beside.is_dir() else self.base


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model of its own."""
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()


def adapter_refusals(folder: Path) -> tuple[str, ...]:
    """Why a folder holds no adapter that can be merged into a model; empty if it does."""
    path = folder / ADAPTER_CONFIG
    if not path.is_file():
        return (f"{folder} is not an adapter's folder: {ADAPTER_CONFIG} missing",)
    config = read_json(path)
    refusals = [_kind_refusal(folder, config), _code_refusal(path, config), _file_refusal(folder)]
    return tuple(refusal for refusal in refusals if refusal)


def _kind_refusal(folder: Path, config: dict[str, Any]) -> str | None:
    kind = config.get("peft_type")
    if kind == "LORA":
        return None
    return (
        f"{folder} holds an adapter of kind {kind}; only LORA can be merged into a model's "
        "weights: merge this one where you trained it, and name the merged model"
    )


def _code_refusal(path: Path, config: dict[str, Any]) -> str | None:
    """Refuse what would make peft import a module that the adapter names."""
    library = (config.get("auto_mapping") or {}).get("parent_library")
    named = {"megatron_core": config.get("megatron_core")} if config.get("megatron_config") else {}
    if library is not None and str(library).split(".")[0] != "transformers":
        named["auto_mapping"] = str(library)
    if not named:
        return None
    field, module = next(iter(named.items()))
    return (
        f"{path} names code of its own ({field}: {module}), which is not run; merge the adapter "
        "where you trust it, and name the merged model"
    )


def _file_refusal(folder: Path) -> str | None:
    if (folder / ADAPTER_WEIGHTS).is_file():
        return None
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if not pickles:
        return f"{folder} has no {ADAPTER_WEIGHTS}; get the adapter's weights, or save it again"
    return (
        f"{folder} has its weights only as a pickle ({pickles[0]}), which can run code when it is "
        "read; where you trust it, convert it: load it with peft's PeftModel.from_pretrained and "
        f"save_pretrained writes {ADAPTER_WEIGHTS}"
    )
