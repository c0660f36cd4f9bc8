"""Whether a model can be used, what it holds and what learning takes, before it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from circuitviz.errors import ConfigError, UnsupportedModelError
from circuitviz.models.checkpoint import (
    CONFIG_FILE,
    Adapter,
    checkpoint_refusals,
    is_adapter,
    read_json,
    stored_weights,
)
from circuitviz.models.memory import (
    AvailableMemory,
    MemoryEstimate,
    ModelShape,
    available_memory,
    estimate_memory,
)
from circuitviz.models.source import ModelSource, find_source, locate_model
from circuitviz.models.support import config_refusals, text_config

LENGTH_FIELDS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
UNKNOWN_SHAPE = ModelShape(0, 0, 0, 0, 0, 0, False, 0, 0)


@dataclass(frozen=True)
class Examination:
    """A model before it is loaded.

    Attributes:
        architecture: Its class, as the configuration names it.
        model_type: Its kind, as the configuration names it.
        refusals: Why it cannot be used, most telling first; empty if it can.
        warnings: What to know before it is used.
        shape: Its sizes; zeros where it is refused and does not say them.
        stored_dtype: The dtype most weights are stored in, "" if it cannot be told.
        chat_template: Whether its tokenizer has one.
        max_length: Tokens it was made for, or None where it does not say.
    """

    architecture: str = ""
    model_type: str = ""
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    shape: ModelShape = UNKNOWN_SHAPE
    stored_dtype: str = ""
    chat_template: bool = False
    max_length: int | None = None


def examine(source: ModelSource) -> Examination:
    """Read configuration, tokenizer and headers of weights; never a weight, and no code.

    What was read is kept for as long as the files stay as they are.
    """
    folders = {source.base, source.tokenizer}
    if source.adapter is not None:
        folders.add(source.adapter.folder)
    stamp = tuple(
        (str(path), path.stat().st_mtime_ns, path.stat().st_size)
        for folder in sorted(folders)
        for path in sorted(folder.iterdir())
        if path.exists()
    )
    return _examine(source, stamp)


@lru_cache(maxsize=16)
def _examine(source: ModelSource, stamp: tuple[tuple[str, int, int], ...]) -> Examination:
    refusals = checkpoint_refusals(source.base)
    try:
        config = read_json(source.base / CONFIG_FILE)
    except UnsupportedModelError as error:
        return Examination(refusals=refusals or (str(error),))
    text = text_config(config)
    found = Examination(
        architecture=str((config.get("architectures") or [""])[0]),
        model_type=str(config.get("model_type", "")),
        refusals=(*config_refusals(source.base), *refusals),
        warnings=_code_warning(source.base, config),
        max_length=_max_length(text),
    )
    found = _with_sizes(found, source.base, text)
    if any("has no tokenizer" in refusal for refusal in found.refusals):
        return found
    found = _with_tokenizer(found, source.tokenizer)
    return found if found.refusals else _with_structure(found, source)


def _with_sizes(found: Examination, folder: Path, text: Mapping[str, Any]) -> Examination:
    try:
        stored = stored_weights(folder)
    except UnsupportedModelError as error:
        return replace(found, refusals=(*found.refusals, str(error)))
    try:
        shape = ModelShape.of_config(text, parameters=stored.parameters or None)
    except (KeyError, TypeError, ZeroDivisionError) as error:
        reason = (
            f"{folder} has a {CONFIG_FILE} that does not say how large the model is ({error}); get "
            "the file again"
        )
        # A model of another form has no such sizes, and was refused for that.
        missing = () if found.refusals else (reason,)
        return replace(found, refusals=(*found.refusals, *missing))
    return replace(found, shape=shape, stored_dtype=stored.dtype)


def _with_tokenizer(found: Examination, folder: Path) -> Examination:
    # Late: slow to import.
    from circuitviz.models.weights import read_tokenizer, tokenizer_refusals

    if (folder / "tokenizer_config.json").is_file():
        try:
            own_code = read_json(folder / "tokenizer_config.json").get("auto_map")
        except UnsupportedModelError as error:
            return replace(found, refusals=(*found.refusals, str(error)))
    else:
        own_code = None
    tokenizer, failure = _attempt(lambda: read_tokenizer(folder))
    if tokenizer is None:
        if found.refusals:
            # A model that is refused anyway; its tokenizer can lack what the model lacks.
            return found
        if own_code:
            failure = (
                f"the tokenizer in {folder} needs code of its own (auto_map in "
                "tokenizer_config.json), which is never run; save it as tokenizer.json where you "
                "trust it"
            )
        return replace(found, refusals=(*found.refusals, failure))
    refusals = (*found.refusals, *tokenizer_refusals(tokenizer, folder))
    has_template = bool(getattr(tokenizer, "chat_template", None))
    return replace(found, refusals=refusals, chat_template=has_template)


def _with_structure(found: Examination, source: ModelSource) -> Examination:
    """What an empty model of this configuration shows: its true widths, and what fits on it."""
    # Late: slow to import.
    from circuitviz.models.ownership import weight_map
    from circuitviz.models.weights import empty_model

    model, failure = _attempt(lambda: empty_model(source.base))
    if model is None:
        return replace(found, refusals=(failure,))
    space, failure = _attempt(lambda: weight_map(model).space)
    if space is None:
        warning = f"circuits can be found and knocked out, but not tuned or exported: {failure}"
        found = replace(found, warnings=(*found.warnings, warning))
    else:
        shape = replace(found.shape, n_layers=space.n_layers, d_mlp=space.d_mlp)
        found = replace(found, shape=shape)
    if source.adapter is not None:
        found = _with_adapter(found, source.adapter, source.base, model)
    return found if found.refusals else _with_units(found, source)


def _with_units(found: Examination, source: ModelSource) -> Examination:
    """What loading makes of the layers: it knows more forms than owners of weights are known of."""
    # Late: slow to import.
    from circuitviz.models.loading import units_of

    space, failure = _attempt(lambda: units_of(source))
    if failure:
        return replace(found, refusals=(failure,))
    if space is None:
        return found
    return replace(found, shape=replace(found.shape, n_layers=space.n_layers, d_mlp=space.d_mlp))


def _with_adapter(found: Examination, adapter: Adapter, base: Path, model: Any) -> Examination:
    # Late: slow to import.
    from circuitviz.models.weights import require_fit

    _, failure = _attempt(lambda: require_fit(model, adapter.folder))
    if failure:
        return replace(found, refusals=(failure,))
    return replace(found, warnings=(*found.warnings, *_base_warning(adapter, base)))


def _base_warning(adapter: Adapter, base: Path) -> tuple[str, ...]:
    named = adapter.base_path
    if named is None or Path(named).resolve() == base.resolve() or Path(named).name == base.name:
        return ()
    # A cached model lies at models--org--name/snapshots/<commit>.
    if f"models--{named.replace('/', '--')}" in base.parts:
        return ()
    return (
        f"the adapter in {adapter.folder} was trained on {adapter.base!r}, and the model here is "
        f"{base}; its shapes fit, but make sure that the weights are the same",
    )


def _code_warning(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    if not config.get("auto_map"):
        return ()
    return (
        f"{folder} names code of its own (auto_map in {CONFIG_FILE}), which is not run: "
        f"transformers' own {config.get('model_type')} is used instead",
    )


def max_length(folder: Path) -> int | None:
    """Tokens that a checkpoint's model was made for; None where it does not say.

    Raises:
        UnsupportedModelError: Its configuration cannot be read.
    """
    return _max_length(text_config(read_json(folder / CONFIG_FILE)))


def _max_length(text: Mapping[str, Any]) -> int | None:
    found = [text[name] for name in LENGTH_FIELDS if isinstance(text.get(name), int)]
    return found[0] if found else None


def _attempt(function: Callable[[], Any]) -> tuple[Any, str]:
    """The result and "", or None and why there is none."""
    try:
        return function(), ""
    except UnsupportedModelError as error:
        return None, str(error)


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
