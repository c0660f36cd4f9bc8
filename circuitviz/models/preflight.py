"""Whether a model can be used, what it holds and what learning takes, before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from circuitviz.errors import UnsupportedModelError
from circuitviz.models.checkpoint import (
    CONFIG_FILE,
    Adapter,
    checkpoint_refusals,
    is_adapter,
    read_json,
    stored_weights,
)
from circuitviz.models.memory import (
    MemoryEstimate,
    MemorySettings,
    ModelShape,
    advice,
    available_memory,
    estimate_memory,
    memory_warning,
)
from circuitviz.models.source import ModelSource, find_source, locate_model
from circuitviz.models.support import config_refusals, text_config

LENGTH_FIELDS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
TOKENIZER_CONFIG = "tokenizer_config.json"
UNKNOWN_SHAPE = ModelShape(0, 0, 0, 0, 0, 0, False, 0, 0)
# What `--json` says of a model, in this order.
JSON_NAMES = (
    *("model", "folder", "adapter", "architecture", "model_type"),
    *("supported", "refusals", "warnings"),
    *("n_layers", "n_heads", "n_kv_heads", "d_head", "d_mlp", "n_units", "parameters"),
    *("stored_dtype", "chat_template", "max_length", "rows", "length", "dtype", "checkpointing"),
    *("memory", "memory_available", "device", "advice"),
)


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What a model's files say of it.

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

    @property
    def supported(self) -> bool:
        """Whether circuits can be looked for in it."""
        return not self.refusals

    def refused(self, *refusals: str) -> Examination:
        """The same, with further reasons why not."""
        return replace(self, refusals=(*self.refusals, *refusals))


@dataclass(frozen=True, kw_only=True)
class Preflight(Examination, MemorySettings, ModelShape):
    """A model before it is loaded: what its files say, its sizes, and how masks would be learned.

    Attributes:
        model: What was asked for.
        folder: The checkpoint's folder.
        adapter: The folder of the adapter that is merged into it, or None.
        memory: Bytes one step of learning needs at its peak.
        memory_available: Bytes free on the device.
        device: Where it would run: `cuda`, `balanced` over all GPUs, or `cpu`.
        advice: What to set.
    """

    model: str
    folder: str
    adapter: str | None
    memory: MemoryEstimate
    memory_available: int
    device: str
    advice: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        values = {name: getattr(self, name) for name in JSON_NAMES}
        return {**values, "memory": self.memory.to_json()}


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
    settings = MemorySettings(rows=rows, length=length, dtype=dtype, checkpointing=checkpointing)
    folder = locate_model(name_or_path, download=download)
    # The checkpoint itself is looked at below, for everything that is wrong with it.
    source, failure = ModelSource(folder), ""
    if adapter or is_adapter(folder):
        try:
            source = find_source(name_or_path, adapter, download=download)
        except UnsupportedModelError as error:
            failure = str(error)
    examination = Examination() if failure and is_adapter(folder) else examine(source)
    if failure and failure not in examination.refusals:
        examination = examination.refused(failure)
    return _under(settings, examination, name_or_path, source)


def _under(
    settings: MemorySettings, examination: Examination, name: str, source: ModelSource
) -> Preflight:
    shape, available = examination.shape, available_memory()
    known = shape.n_layers > 0
    memory = estimate_memory(shape, settings) if known else MemoryEstimate(0, 0, 0, 0)
    device, free = available.device(memory.total)
    longest, hints = examination.max_length, ()
    if examination.supported:
        warnings = memory_warning(shape, settings, available)
        if longest is not None and settings.length > longest:
            text = (
                f"{settings.length} tokens are more than the {longest} the model was made for; use "
                f"prompts and answers of at most {longest} tokens"
            )
            warnings = (text, *warnings)
        examination = replace(examination, warnings=(*examination.warnings, *warnings))
        hints = advice(shape, examination.stored_dtype, settings, available)
    return Preflight(
        **vars(shape),
        **vars(settings),
        **vars(examination),
        model=name,
        folder=str(source.base),
        adapter=None if source.adapter is None else str(source.adapter.folder),
        memory=memory,
        memory_available=free,
        device=device,
        advice=hints,
    )


def examine(source: ModelSource) -> Examination:
    """Read configuration, tokenizer and headers of weights; never a weight, and no code.

    What was read is kept for as long as the files stay as they are.
    """
    folders = {source.base, source.tokenizer}
    if source.adapter is not None:
        folders.add(source.adapter.folder)
    files = (path for folder in sorted(folders) for path in sorted(folder.iterdir()))
    stats = ((str(path), path.stat()) for path in files if path.exists())
    return _examine(source, tuple((path, stat.st_mtime_ns, stat.st_size) for path, stat in stats))


@lru_cache(maxsize=16)
def _examine(source: ModelSource, stamp: tuple[tuple[str, int, int], ...]) -> Examination:
    folder = source.base
    refusals = checkpoint_refusals(folder)
    try:
        config = read_json(folder / CONFIG_FILE)
    except UnsupportedModelError as error:
        return Examination(refusals=refusals or (str(error),))
    model_type = str(config.get("model_type", ""))
    code_warning = (
        f"{folder} names code of its own (auto_map in {CONFIG_FILE}), which is not run: "
        f"transformers' own {model_type} is used instead"
    )
    examination = Examination(
        architecture=str((config.get("architectures") or [""])[0]),
        model_type=model_type,
        refusals=(*config_refusals(folder), *refusals),
        warnings=(code_warning,) if config.get("auto_map") else (),
        max_length=max_length(folder),
    )
    examination = _with_sizes(examination, folder, text_config(config))
    if any("has no tokenizer" in refusal for refusal in examination.refusals):
        return examination
    examination = _with_tokenizer(examination, source.tokenizer)
    if not examination.supported:
        return examination
    try:
        return _with_structure(examination, source)
    except UnsupportedModelError as error:
        return examination.refused(str(error))


def max_length(folder: Path) -> int | None:
    """Tokens that a checkpoint's model was made for; None where it does not say.

    Raises:
        UnsupportedModelError: Its configuration cannot be read.
    """
    text = text_config(read_json(folder / CONFIG_FILE))
    return next((text[name] for name in LENGTH_FIELDS if isinstance(text.get(name), int)), None)


def _with_sizes(examination: Examination, folder: Path, text: Mapping[str, Any]) -> Examination:
    try:
        stored = stored_weights(folder)
    except UnsupportedModelError as error:
        return examination.refused(str(error))
    try:
        shape = ModelShape.of_config(text, parameters=stored.parameters or None)
    except (KeyError, TypeError, ZeroDivisionError) as error:
        # A model of another form has no such sizes, and was refused for that.
        if not examination.supported:
            return examination
        return examination.refused(
            f"{folder} has a {CONFIG_FILE} that does not say how large the model is ({error}); get "
            "the file again"
        )
    return replace(examination, shape=shape, stored_dtype=stored.dtype)


def _with_tokenizer(examination: Examination, folder: Path) -> Examination:
    # Late: slow to import.
    from circuitviz.models.weights import read_tokenizer, tokenizer_refusals

    path = folder / TOKENIZER_CONFIG
    try:
        own_code = path.is_file() and read_json(path).get("auto_map")
    except UnsupportedModelError as error:
        return examination.refused(str(error))
    try:
        tokenizer = read_tokenizer(folder)
    except UnsupportedModelError as error:
        # The tokenizer of a model that is refused anyway can lack what the model lacks.
        if not examination.supported:
            return examination
        code_refusal = (
            f"the tokenizer in {folder} needs code of its own (auto_map in {TOKENIZER_CONFIG}), "
            "which is never run; save it as tokenizer.json where you trust it"
        )
        return examination.refused(code_refusal if own_code else str(error))
    examination = examination.refused(*tokenizer_refusals(tokenizer, folder))
    return replace(examination, chat_template=bool(getattr(tokenizer, "chat_template", None)))


def _with_structure(examination: Examination, source: ModelSource) -> Examination:
    """What an empty model of this configuration shows: its true widths, and what fits on it.

    Raises:
        UnsupportedModelError: Loading would refuse it.
    """
    # Late: slow to import.
    from circuitviz.models.loading import units_in
    from circuitviz.models.ownership import weight_map
    from circuitviz.models.weights import empty_model, require_fit

    model = empty_model(source.base)
    warnings: tuple[str, ...] = ()
    if source.adapter is not None:
        require_fit(model, source.adapter.folder)
        warnings = _base_warning(source.adapter, source.base)
    space = units_in(source)
    try:
        owned = weight_map(model).space
    except UnsupportedModelError as error:
        text = f"circuits can be found and knocked out, but not tuned or exported: {error}"
        warnings = (text, *warnings)
    else:
        space = space or owned
    if space is not None:
        shape = replace(examination.shape, n_layers=space.n_layers, d_mlp=space.d_mlp)
        examination = replace(examination, shape=shape)
    return replace(examination, warnings=(*examination.warnings, *warnings))


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
