"""What a discovery or a tuning is asked to do; the hash of its settings names the result.

Each setting is described here alone: options of commands, forms and docstrings take its words, its
limits and its default from its field.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo
from pydantic_core import ArgsKwargs

from circuitviz.discovery.methods import METHODS
from circuitviz.errors import ConfigError
from circuitviz.units import Granularity

AblationKind = Literal["zero", "mean", "resample"]
Budget = Literal["joint", "separate"]
DataType = Literal["float32", "bfloat16"]
TuningMode = Literal["protect", "repair"]

MAX_SEED = 2**31 - 1
STEPWISE = tuple(name for name, card in METHODS.items() if card.has_steps)
# Fields of a discovery that say which model it is of, and how the model is run.
OF_MODEL = ("model", "adapter", "dtype", "device", "micro_batch", "checkpointing")
# Not part of what a run is called: with controls it replaces the same run without, and where and
# in how many pieces it is computed changes no more than rounding.
NOT_HASHED = ("controls", "device", "micro_batch", "checkpointing")
# Part of it only where they are set.
HASHED_WHEN_SET = ("adapter", "behaviour", "dtype", "max_new_tokens", "weight_decay")

LESSON_EXAMPLE = (
    '{"split": "train", "category": "facts", "text": "What sound does a dog make?", '
    '"answer": "A dog barks."}'
)
MODEL = (
    "embedded or fetched model, path of a local folder or GGUF file, or Hugging Face id from the "
    "local cache"
)
WHOLE = "a whole number between {ge} and {le}"


def _setting(default: Any, what: str, *, details: str = "", must: str = "", **limits: Any) -> Any:
    """The field of one setting.

    Args:
        default: Its value where nothing is said.
        what: What it is, in the words of an option's help.
        details: The same at length, in sentences, for who has room for them.
        must: What a value must be, for the error; `{ge}` and `{le}` stand for its limits.
        limits: What pydantic checks: `ge`, `le`, `gt`, `lt`, `min_length`, `pattern`.
    """
    more: dict[str, Any] = {"details": details, "must": must}
    return Field(default, description=what, json_schema_extra=more, **limits)


def bounds(field: FieldInfo) -> dict[str, Any]:
    """The least (`ge`) and the greatest (`le`) value of a setting, where it has them."""
    return {
        side: getattr(limit, side)
        for side in ("ge", "le")
        for limit in field.metadata
        if hasattr(limit, side)
    }


def described(field: FieldInfo) -> str:
    """What a setting is, and its default, on one line."""
    what, default = field.description or "", field.default
    if field.is_required() or default is None or isinstance(default, bool) or "(default" in what:
        return what
    return f"{what} (default: {default})"


def extra(field: FieldInfo, name: str) -> str:
    """`details` or `must` of a setting; empty where it has none."""
    extras = field.json_schema_extra
    return str(extras.get(name, "")) if isinstance(extras, dict) else ""


class Settings:
    """What configurations have in common: their JSON, the name of a result, the refusal."""

    __pydantic_fields__: ClassVar[dict[str, FieldInfo]]
    _has: ClassVar[str]

    @classmethod
    def fields(cls) -> dict[str, FieldInfo]:
        """What is told of each setting, by name."""
        return cls.__pydantic_fields__

    def to_json(self) -> dict[str, Any]:
        """Every field, as JSON values."""
        return asdict(self)  # pyright: ignore[reportArgumentType]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            ConfigError: A field is unknown or missing, or its value is not usable.
        """
        return cls(**data)

    @model_validator(mode="wrap")
    @classmethod
    def _refuse(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            raise ConfigError(cls._complaint(data, error)) from None

    @classmethod
    def _complaint(cls, data: ArgsKwargs, error: ValidationError) -> str:
        problem = error.errors(include_url=False)[0]
        kind, name = problem["type"], str(problem["loc"][0])
        fields = cls.fields()
        if kind in ("missing", "unexpected_keyword_argument"):
            optional = sorted(key for key, field in fields.items() if not field.is_required())
            given = ", ".join(sorted(data.kwargs or {})) or "nothing"
            return f"{cls._has} any of {', '.join(optional)}; got {given}"
        must = extra(fields[name], "must") or "between {ge} and {le}"
        if kind == "literal_error":
            must = f"one of {', '.join(get_args(fields[name].annotation))}"
        elif kind.endswith("_type") and not extra(fields[name], "must"):
            must = {"string_type": "str"}.get(kind, kind.removesuffix("_type"))
        return f"{name} must be {must.format(**bounds(fields[name]))}; got {problem['input']!r}"

    def _named(self, source: str, kind: str) -> str:
        """`<source>-<kind>-s<seed>-<hash of the settings>`, of the fields with these names."""
        settings, fields = self.to_json(), self.fields()
        hashed = {
            name: value
            for name, value in settings.items()
            if name not in NOT_HASHED
            and (name not in HASHED_WHEN_SET or value != fields[name].default)
        }
        digest = hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()[:8]
        stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(settings[source]).name).strip("-") or source
        return f"{stem}-{settings[kind]}-s{settings['seed']}-{digest}"


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class DiscoveryConfig(Settings):
    """One discovery, complete: the same configuration gives the same run on the same machine."""

    _has: ClassVar[str] = "a configuration has model and"

    model: str = Field(description=MODEL)
    prompts: str | None = _setting(None, "prompts to use instead of the model's")
    method: str = _setting(
        "nested",
        "how units are scored",
        details="How units are scored. Whatever the method, the circuit is chosen, tested and "
        "shown in the same way.",
        must=f"one of {', '.join(METHODS)}",
        pattern=f"^({'|'.join(METHODS)})$",
    )
    seed: int = _setting(0, "seed of all random draws", ge=0, le=MAX_SEED)
    ablation: AblationKind = _setting("zero", "what replaces a unit that is knocked out")
    steps: int = _setting(
        100,
        f"steps of mask learning, with the methods {', '.join(STEPWISE)}",
        ge=1,
        le=100_000,
    )
    budget: Budget = _setting(
        "joint",
        "one size for heads and neurons together, or one for each",
        details="Whether one size counts heads and neurons alike, or each kind has its own.",
    )
    target_asr: int | float | None = _setting(
        None,
        "ASR to reach: at most this (backdoor), at least this (refusal)",
        must="a share between 0 and 1",
        ge=0,
        le=1,
    )
    target_utility: int | float = _setting(
        0.99, "least utility to keep", must="a share between 0 and 1", ge=0, le=1
    )
    granularity: Granularity = _setting(
        "both",
        "what a circuit may be made of",
        details="Whole layers: all heads of a layer, or all of its neurons, go together.",
    )
    l1_weight: int | float | None = _setting(
        None,
        "with --method l1: the one price to use instead of a ladder of prices",
        details="Price of a mask that takes every unit; higher prices give smaller circuits. "
        "Left empty, a small ladder of weights is tried, which takes longer.",
        must="a number of at least 0, or left out",
        ge=0,
        lt=math.inf,
    )
    refine: bool = _setting(
        True,
        "drop units that the chosen circuit can do without",
        details="The chosen circuit, if it has at most 64 units, is tried without each of its "
        "units in turn, on validation prompts; a unit it can do without is dropped.",
    )
    controls: bool = _setting(
        False,
        "also run the controls that must find nothing, and gather further evidence",
        details="100 random circuits, a nonsense target, a model with random weights and a random "
        "trigger: each must fail to find anything. Also gathers the other evidence.",
    )
    adapter: str | None = _setting(None, "folder of a LoRA adapter to put on top of the model")
    behaviour: str | None = _setting(
        None,
        "folder with a behaviour.json and a prompts.jsonl, or name of a plug-in (default: what "
        "comes with the model)",
    )
    dtype: DataType = _setting(
        "float32",
        "of weights and activations; scores are always fp32 (default: bfloat16 for models that "
        "are fetched, else float32)",
    )
    device: str = _setting(
        "auto",
        "cpu, cuda, cuda:1, or balanced over all GPUs (default: a GPU where there is one)",
    )
    micro_batch: int | None = _setting(
        None,
        "at most N prompts in one forward-backward pass (default: a batch at once)",
        must="at least 1, or left out",
        ge=1,
    )
    checkpointing: bool = _setting(
        False, "compute layers again on the way back instead of keeping their activations"
    )
    max_new_tokens: int | None = _setting(
        None,
        "longest answer that is judged, in tokens, where answers are open (default: 128)",
        must="at least 1, or left out",
        ge=1,
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.l1_weight is not None and self.method != "l1":
            raise ConfigError(
                f"l1_weight is a setting of the method l1; got l1_weight {self.l1_weight} with the "
                f"method {self.method}: leave it out, or choose l1"
            )
        if self.budget == "separate" and self.granularity != "both":
            raise ConfigError(
                "budget separate gives heads and neurons a size each, so it needs the granularity "
                f"both; got {self.granularity}: choose the budget joint"
            )
        return self

    def run_id(self) -> str:
        """`<model>-<method>-s<seed>-<hash of the configuration>`."""
        return self._named("model", "method")


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class TuningConfig(Settings):
    """One tuning, complete: the same configuration gives the same tuning on the same machine."""

    _has: ClassVar[str] = "a tuning's configuration has run and mode, and"

    run: str = Field(
        description="id of a saved run, or path of its folder",
        min_length=1,
        json_schema_extra={"must": "the id of a saved run or its path"},
    )
    mode: TuningMode = Field(
        description="protect: train everything but the circuit; repair: train the circuit alone"
    )
    size: int | None = _setting(
        None, "the K best units (default: the run's circuit)", must=WHOLE, ge=1, le=MAX_SEED
    )
    seed: int = _setting(
        0,
        "seed of all random draws",
        details="Decides the order of the lessons and which random circuit is drawn.",
        must=WHOLE,
        ge=0,
        le=MAX_SEED,
    )
    epochs: int | None = _setting(
        None,
        "passes over the lessons (default: the mode's)",
        details="Passes over the lessons, the same for every model that is trained.",
        must=WHOLE,
        ge=1,
        le=1000,
    )
    learning_rate: int | float | None = _setting(
        None,
        "step size of the optimiser (default: the mode's)",
        details="Step size of the optimiser, the same for every model that is trained.",
        must="a number above 0 and at most 1, or left out",
        gt=0,
        le=1,
    )
    data: str | None = _setting(
        None,
        "lessons to use instead of the model's: a JSONL file, one object a line, e.g. "
        f"{LESSON_EXAMPLE}, with some lessons of each split (train, validation, test)",
        details=f"A JSONL file on this machine, one object a line, e.g. `{LESSON_EXAMPLE}`, with "
        "some lessons of each split (train, validation, test). Left empty, the lessons that come "
        "with the model are used.",
        must="the path of a file, or left out",
        min_length=1,
    )
    weight_decay: int | float | None = _setting(
        None,
        "of the optimiser (default: the mode's)",
        details="Of the optimiser, the same for every model that is trained: each step takes this "
        "times the learning rate away from every weight that trains.",
        must="a number between {ge} and {le}, or left out",
        ge=0,
        le=100,
    )

    def tuning_id(self) -> str:
        """`<run>-<mode>-s<seed>-<hash of the configuration>`."""
        return self._named("run", "mode")
