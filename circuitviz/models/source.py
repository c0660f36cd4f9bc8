"""What a model is loaded from: a checkpoint, and maybe a LoRA adapter on top of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from circuitviz.errors import (
    CircuitvizError,
    ModelNotFetchedError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from circuitviz.models.adapter import Adapter, is_adapter
from circuitviz.models.catalog import find_model
from circuitviz.models.checkpoint import TOKENIZER_FILES


@dataclass(frozen=True)
class ModelSource:
    """A checkpoint and what goes on top.

    Attributes:
        base: The checkpoint's folder.
        adapter: The adapter that is merged into its weights, or None.
    """

    base: Path
    adapter: Adapter | None = None

    @property
    def tokenizer(self) -> Path:
        """Where the tokenizer lies: with the adapter, if it was saved there, else with the base."""
        if self.adapter is not None:
            own = self.adapter.folder
            if any((own / name).is_file() for name in TOKENIZER_FILES):
                return own
        return self.base


def find_source(
    name_or_path: str, adapter: str | None = None, *, download: bool = False
) -> ModelSource:
    """Find a model, and the adapter on top of it, without reading any weights.

    Args:
        name_or_path: A model, or an adapter's folder, which then stands on the model that it
            names.
        adapter: The folder of an adapter.
        download: Whether models that are not in the Hugging Face cache are fetched.

    Raises:
        ModelNotFoundError: Model, adapter or the adapter's own model are not here.
        ModelNotFetchedError: `circuitviz fetch` brings one of them.
        UnsupportedModelError: One of them has not what it takes.
    """
    folder = find_model(name_or_path, download=download)
    if not is_adapter(folder):
        return ModelSource(folder, Adapter.of_folder(Path(adapter)) if adapter else None)
    if adapter:
        raise UnsupportedModelError(
            f"{folder} is an adapter itself, and a second one is not put on top; merge them where "
            "you trained them, or name one of them"
        )
    own = Adapter.of_folder(folder)
    return ModelSource(_base_of(own, download=download), own)


def unfetched_model(name_or_path: str, adapter: str | None = None) -> str | None:
    """What has to be fetched before a model can be loaded, as `circuitviz fetch` calls it.

    None where nothing has to, also where something else is wrong with the model.
    """
    try:
        find_source(name_or_path, adapter)
    except ModelNotFetchedError as missing:
        return missing.name
    except CircuitvizError:
        return None
    return None


def _base_of(adapter: Adapter, *, download: bool) -> Path:
    if adapter.base_path is None:
        raise UnsupportedModelError(
            f"{adapter.folder} does not say which model it adapts; name that model as the model "
            "and this folder as --adapter"
        )
    try:
        base = find_model(adapter.base_path, download=download)
    except ModelNotFetchedError:
        # It says itself what brings it.
        raise
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"{adapter.folder} adapts {adapter.base!r}, which is not here; name that model as the "
            "model and this folder as --adapter"
        ) from error
    if is_adapter(base):
        raise UnsupportedModelError(
            f"{adapter.folder} adapts {adapter.base!r}, which is an adapter as well; merge them "
            "where you trained them, and name the merged model"
        )
    return base
