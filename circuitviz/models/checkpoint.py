"""The files of a model's folder: checkpoints, LoRA adapters, and why one cannot be used.

Nothing here reads a weight, and nothing that could run code when it is read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from circuitviz.errors import ModelNotFoundError, UnsupportedModelError

CONFIG_FILE = "config.json"
# What transformers loads: the one file where it is there, else those that the index names.
SAFETENSORS = ".safetensors"
WEIGHTS_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Weights in these formats are pickles, which can run code when they are read.
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
# What the libraries raise for a folder they cannot make a model of.
LOADING_FAILURES = (
    AttributeError,
    ImportError,
    KeyError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)
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
        try:
            with safe_open(path, framework="numpy") as file:
                tensors = {key: file.get_slice(key) for key in sorted(file.keys())}
                shapes |= {key: tuple(tensor.get_shape()) for key, tensor in tensors.items()}
        except (OSError, SafetensorError) as error:
            raise UnsupportedModelError(
                f"{path} is damaged or cut short ({error}); get the file again"
            ) from error
        for key, tensor in tensors.items():
            sizes[tensor.get_dtype()] += prod(shapes[key])
    most = sizes.most_common(1)[0][0] if sizes else ""
    return StoredWeights(shapes, DTYPES.get(most, most.lower()))


def require_none(refusals: Sequence[str]) -> None:
    """Refuse what there are reasons against.

    Raises:
        UnsupportedModelError: With the first of them.
    """
    if refusals:
        raise UnsupportedModelError(refusals[0])


def checkpoint_refusals(folder: Path) -> tuple[str, ...]:
    """Why the files of a folder are not a checkpoint that can be loaded; empty if they are."""
    if not (folder / CONFIG_FILE).is_file():
        reason = f"{folder} is not a Hugging Face model folder: {CONFIG_FILE} missing"
        files = sorted(path for path in folder.glob("*.gguf") if path.is_file())
        return (reason + (f"; name the GGUF file in it instead: {files[0]}" if files else ""),)
    refusals = []
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        refusals.append(
            f"{folder} has no tokenizer: expected {', '.join(TOKENIZER_FILES[:-1])} or "
            f"{TOKENIZER_FILES[-1]}; save the tokenizer into the folder"
        )
    if not (folder / WEIGHTS_FILE).is_file():
        index = folder / INDEX_FILE
        weights = _index_refusal(folder, index) if index.is_file() else _no_weights(folder)
        refusals += [weights] if weights else []
    return tuple(refusals)


def _index_refusal(folder: Path, index: Path) -> str | None:
    try:
        files = weight_files(folder)
    except UnsupportedModelError as error:
        return str(error)
    if not files:
        return f"{index} names no files: weight_map missing; get the file again"
    # transformers tells the format by the end of the name, and would load others as pickles.
    other = [path.name for path in files if path.suffix != SAFETENSORS]
    if other:
        return (
            f"{index} names {other[0]}, which is not a safetensors file; get the model's "
            "safetensors weights and their index"
        )
    missing = [path.name for path in files if not path.is_file()]
    if not missing:
        return None
    return (
        f"{folder} is incomplete: {INDEX_FILE} names {_and_more(missing)}, which is not there; get "
        "the missing weights"
    )


def _no_weights(folder: Path) -> str:
    pickles = _pickles(folder)
    if not pickles:
        return (
            f"{folder} has no safetensors weights ({WEIGHTS_FILE}, or {INDEX_FILE} and the files "
            "it names); save the model into it with save_pretrained, or get them"
        )
    return (
        f"{folder} has its weights only as a pickle ({_and_more(pickles)}), which can run code "
        "when it is read; where you trust it, convert it: AutoModelForCausalLM.from_pretrained"
        f"({str(folder)!r}).save_pretrained({str(folder)!r}) writes safetensors beside it"
    )


def _pickles(folder: Path) -> list[str]:
    return sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))


def _and_more(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter in a local folder, as peft saves it.

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
        require_none(adapter_refusals(folder))
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
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / CONFIG_FILE).is_file()


def adapter_refusals(folder: Path) -> tuple[str, ...]:
    """Why a folder holds no adapter that can be merged into a model; empty if it does."""
    path = folder / ADAPTER_CONFIG
    if not path.is_file():
        return (f"{folder} is not an adapter's folder: {ADAPTER_CONFIG} missing",)
    config = read_json(path)
    refusals = []
    if config.get("peft_type") != "LORA":
        refusals.append(
            f"{folder} holds an adapter of kind {config.get('peft_type')}; only LORA can be merged "
            "into a model's weights: merge this one where you trained it, and name the merged model"
        )
    code = _own_code(config)
    if code:
        refusals.append(
            f"{path} names code of its own ({code}), which is not run; merge the adapter where you "
            "trust it, and name the merged model"
        )
    if not (folder / ADAPTER_WEIGHTS).is_file():
        refusals.append(_no_adapter_weights(folder))
    return tuple(refusals)


def _own_code(config: dict[str, Any]) -> str | None:
    """The field that would make peft import a module that the adapter names, and that module."""
    if config.get("megatron_config"):
        return f"megatron_core: {config.get('megatron_core')}"
    library = (config.get("auto_mapping") or {}).get("parent_library")
    if library is None or str(library).split(".")[0] == "transformers":
        return None
    return f"auto_mapping: {library}"


def _no_adapter_weights(folder: Path) -> str:
    pickles = _pickles(folder)
    if not pickles:
        return f"{folder} has no {ADAPTER_WEIGHTS}; get the adapter's weights, or save it again"
    return (
        f"{folder} has its weights only as a pickle ({pickles[0]}), which can run code when it is "
        "read; where you trust it, convert it: load it with peft's PeftModel.from_pretrained and "
        f"save_pretrained writes {ADAPTER_WEIGHTS}"
    )
