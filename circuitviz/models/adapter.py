"""LoRA adapters as peft saves them: what is refused, and what they stand on.

Nothing here reads a weight or imports what an adapter names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitviz.errors import ModelNotFoundError, UnsupportedModelError
from circuitviz.models.checkpoint import PICKLES, read_json

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
