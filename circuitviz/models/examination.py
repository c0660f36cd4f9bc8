"""What the files of a model say of it: whether it can be masked, and how large it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from circuitviz.errors import UnsupportedModelError
from circuitviz.models.adapter import Adapter
from circuitviz.models.checkpoint import CONFIG_FILE, checkpoint_refusals, read_json, stored_weights
from circuitviz.models.memory import ModelShape
from circuitviz.models.source import ModelSource
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
    from circuitviz.models.merging import require_fit

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
