"""Whether a model can be used, what it holds and what learning takes, before it is loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from circuitviz.errors import ConfigError, UnsupportedModelError
from circuitviz.models.adapter import is_adapter
from circuitviz.models.advice import (
    BYTES,
    Settings,
    advice,
    length_warning,
    memory_of,
    memory_warning,
)
from circuitviz.models.available import available_memory
from circuitviz.models.catalog import locate_model
from circuitviz.models.examination import Examination, examine
from circuitviz.models.memory import MemoryEstimate
from circuitviz.models.source import ModelSource, find_source

__all__ = ["Preflight", "preflight"]


@dataclass(frozen=True)
class Preflight:
    """A model before it is loaded.

    Attributes:
        model: What was asked for.
        folder: The checkpoint's folder.
        adapter: The folder of the adapter that is merged into it, or None.
        architecture: Its class, as its configuration names it.
        model_type: Its kind, as its configuration names it.
        supported: Whether circuits can be looked for in it.
        refusals: Why not, most telling first.
        warnings: What to know before it is used.
        n_layers: Layers; this and all sizes below are 0 where a refused model does not say them.
        n_heads: Query heads a layer.
        n_kv_heads: Key and value heads a layer.
        d_head: Width of a head.
        d_mlp: Neurons a layer.
        n_units: Heads and neurons of all layers.
        parameters: Weights in all.
        stored_dtype: The dtype most weights are stored in.
        chat_template: Whether the tokenizer has one.
        max_length: Tokens it was made for, or None where it does not say.
        rows: Prompts of one pass, that memory is told for.
        length: Tokens of a prompt and its answer, that memory is told for.
        dtype: What weights and activations would be held in.
        checkpointing: Whether layers would be computed again on the way back.
        memory: Bytes one step of learning needs at its peak.
        memory_available: Bytes free on the device.
        device: Where it would run: `cuda`, `balanced` over all GPUs, or `cpu`.
        advice: What to set.
    """

    model: str
    folder: str
    adapter: str | None
    architecture: str
    model_type: str
    supported: bool
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_mlp: int
    n_units: int
    parameters: int
    stored_dtype: str
    chat_template: bool
    max_length: int | None
    rows: int
    length: int
    dtype: str
    checkpointing: bool
    memory: MemoryEstimate
    memory_available: int
    device: str
    advice: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        lists = ("refusals", "warnings", "advice")
        found = {
            name: list(value) if name in lists else value for name, value in asdict(self).items()
        }
        return {**found, "memory": self.memory.to_json()}


def preflight(
    name_or_path: str,
    *,
    adapter: str | None = None,
    rows: int = 48,
    length: int = 64,
    dtype: str = "float32",
    checkpointing: bool = False,
    download: bool = False,
) -> Preflight:
    """Look at a model's configuration, tokenizer and headers; its weights are not read.

    Args:
        name_or_path: A model, or the folder of an adapter.
        adapter: The folder of an adapter on top.
        rows: Prompts of one forward-backward pass.
        length: Tokens of a prompt and its answer.
        dtype: Of weights and activations, `float32` or `bfloat16`.
        checkpointing: Whether layers are computed again on the way back.
        download: Whether a model that is not in the Hugging Face cache is fetched.

    Raises:
        ModelNotFoundError: There is no such model or adapter, or it cannot be fetched.
        ConfigError: A setting is not usable.
    """
    settings = _settings(rows, length, dtype, checkpointing)
    folder = locate_model(name_or_path, download=download)
    # The checkpoint itself is looked at below, for everything that is wrong with it.
    source, failure = ModelSource(folder), ""
    if adapter or is_adapter(folder):
        try:
            source = find_source(name_or_path, adapter, download=download)
        except UnsupportedModelError as error:
            failure = str(error)
    found = Examination() if failure and is_adapter(folder) else examine(source)
    new = failure and failure not in found.refusals
    refusals = (*found.refusals, failure) if new else found.refusals
    return _told(name_or_path, source, found, refusals, settings)


def _settings(rows: int, length: int, dtype: str, checkpointing: bool) -> Settings:
    for name, value in (("rows", rows), ("length", length)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1; got {value}")
    if dtype not in BYTES:
        raise ConfigError(f"dtype must be one of {', '.join(BYTES)}; got {dtype!r}")
    return Settings(rows, length, dtype, checkpointing)


def _told(
    name: str,
    source: ModelSource,
    found: Examination,
    refusals: tuple[str, ...],
    settings: Settings,
) -> Preflight:
    shape, here = found.shape, available_memory()
    memory = memory_of(shape, settings) if shape.n_layers else MemoryEstimate(0, 0, 0, 0)
    device, free = here.device(memory.total)
    warnings, hints = found.warnings, ()
    if not refusals:
        doubts = (
            *length_warning(settings.length, found.max_length),
            *memory_warning(shape, settings, here),
        )
        warnings = (*warnings, *doubts)
        hints = advice(shape, found.stored_dtype, settings, here)
    return Preflight(
        model=name,
        folder=str(source.base),
        adapter=None if source.adapter is None else str(source.adapter.folder),
        architecture=found.architecture,
        model_type=found.model_type,
        supported=not refusals,
        refusals=refusals,
        warnings=warnings,
        n_layers=shape.n_layers,
        n_heads=shape.n_heads,
        n_kv_heads=shape.n_kv_heads,
        d_head=shape.d_head,
        d_mlp=shape.d_mlp,
        n_units=shape.n_units,
        parameters=shape.parameters,
        stored_dtype=found.stored_dtype,
        chat_template=found.chat_template,
        max_length=found.max_length,
        **asdict(settings),
        memory=memory,
        memory_available=free,
        device=device,
        advice=hints,
    )
