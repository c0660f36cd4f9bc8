"""Whether a model can be used, what it holds and what learning takes, before it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from circuitviz.errors import ConfigError, UnsupportedModelError
from circuitviz.models.adapter import is_adapter
from circuitviz.models.available import AvailableMemory, available_memory
from circuitviz.models.catalog import locate_model
from circuitviz.models.examination import Examination, examine
from circuitviz.models.memory import MemoryEstimate, ModelShape, estimate_memory
from circuitviz.models.source import ModelSource, find_source

BYTES = {"float32": 4, "bfloat16": 2}
# From so many weights on, a step of learning on a CPU takes minutes rather than seconds.
SLOW_ON_CPU = 1_000_000_000


@dataclass(frozen=True)
class Settings:
    """How masks are to be learned.

    Attributes:
        rows: Prompts of one forward-backward pass.
        length: Tokens of a prompt and its answer.
        dtype: Of weights and activations.
        checkpointing: Whether layers are computed again on the way back.
    """

    rows: int
    length: int
    dtype: str
    checkpointing: bool


def memory_of(shape: ModelShape, settings: Settings) -> MemoryEstimate:
    """What one step needs at its peak."""
    wide = BYTES[settings.dtype]
    return estimate_memory(
        shape,
        rows=settings.rows,
        length=settings.length,
        weight_bytes=wide,
        activation_bytes=wide,
        checkpointing=settings.checkpointing,
    )


def memory_warning(
    shape: ModelShape, settings: Settings, available: AvailableMemory
) -> tuple[str, ...]:
    """Say that learning needs more memory than there is; empty if it fits."""
    needed = memory_of(shape, settings).total
    device, free = available.device(needed)
    if needed <= free:
        return ()
    return (
        f"learning from {settings.rows} x {settings.length} tokens needs "
        f"{size_text(needed)} and {size_text(free)} are free on {device}",
    )


def length_warning(length: int, max_length: int | None) -> tuple[str, ...]:
    """Say that prompts are longer than the model was made for; empty if they are not."""
    if max_length is None or length <= max_length:
        return ()
    return (
        f"{length} tokens are more than the {max_length} the model was made for; use prompts and "
        f"answers of at most {max_length} tokens",
    )


def advice(
    shape: ModelShape, stored_dtype: str, settings: Settings, available: AvailableMemory
) -> tuple[str, ...]:
    """What to do about memory, dtype and device; empty if nothing needs doing."""
    found = (
        _fitting(shape, settings, available),
        _numbers(shape, stored_dtype, settings, available),
        _device(shape, settings, available),
    )
    return tuple(text for text in found if text)


def size_text(size: int) -> str:
    """1610612736 -> `1.5 GiB`."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power:
            return f"{size / 1024**power:,.1f} {unit}"
    return f"{size} bytes"


def _fitting(shape: ModelShape, settings: Settings, available: AvailableMemory) -> str | None:
    """The first settings that fit where those asked for do not."""
    if not memory_warning(shape, settings, available):
        return None
    least = settings
    for least in smaller(settings):
        if not memory_warning(shape, least, available):
            return f"it fits with {_changes(settings, least)}: {_total(shape, least)}"
    return (
        f"not even {_changes(settings, least)} make it fit ({_total(shape, least)}): free memory, "
        "use a machine with more, or choose a smaller model"
    )


def smaller(settings: Settings) -> Iterator[Settings]:
    """Ever less memory: layers computed again, fewer rows at once, and last other numbers.

    Only the last changes results.
    """
    for dtype in dict.fromkeys((settings.dtype, "bfloat16")):
        rows = settings.rows
        while rows:
            yield replace(settings, dtype=dtype, checkpointing=True, rows=rows)
            rows //= 2


def _changes(asked: Settings, other: Settings) -> str:
    changes = []
    if other.checkpointing and not asked.checkpointing:
        changes.append("--checkpointing")
    if other.rows != asked.rows:
        changes.append(f"--micro-batch {other.rows}")
    if other.dtype != asked.dtype:
        changes.append(f"--dtype {other.dtype}")
    return " ".join(changes) or "these settings"


def _numbers(
    shape: ModelShape, stored: str, settings: Settings, available: AvailableMemory
) -> str | None:
    halved = replace(settings, dtype="bfloat16")
    if settings.dtype == "bfloat16":
        full = replace(settings, dtype="float32")
        if available.gpus or memory_warning(shape, full, available):
            return None
        return (
            f"float32 fits as well ({_total(shape, full)}), and CPUs are often slower in bfloat16"
        )
    if not available.gpus or stored not in ("bfloat16", "float16"):
        return None
    return (
        f"weights are stored in {stored}: --dtype bfloat16 needs {_total(shape, halved)} instead "
        f"of {_total(shape, settings)}, and is faster on a GPU"
    )


def _device(shape: ModelShape, settings: Settings, available: AvailableMemory) -> str | None:
    device, _ = available.device(memory_of(shape, settings).total)
    if device == "balanced":
        return (
            f"one GPU is not enough: --device balanced spreads the layers over all "
            f"{len(available.gpus)}"
        )
    if device == "cpu" and shape.parameters >= SLOW_ON_CPU:
        return (
            f"no GPU is here, and {shape.parameters / 1e9:.1f} billion weights are slow on a CPU: "
            "try a few steps first, or run where a GPU is"
        )
    return None


def _total(shape: ModelShape, settings: Settings) -> str:
    return size_text(memory_of(shape, settings).total)


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
