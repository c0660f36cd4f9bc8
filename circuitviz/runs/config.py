"""What a discovery is asked to do; its hash names the run."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from circuitviz.discovery.methods import METHODS
from circuitviz.errors import ConfigError
from circuitviz.units import Granularity

AblationKind = Literal["zero", "mean", "resample"]
Budget = Literal["joint", "separate"]
DataType = Literal["float32", "bfloat16"]
# Not part of what a run is called: with controls it replaces the same run without, and where and
# in how many pieces it is computed changes no more than rounding.
NOT_HASHED = ("controls", "device", "micro_batch", "checkpointing")
# Part of it only where they are set, so that runs from before they existed keep their names.
HASHED_WHEN_SET = ("adapter", "behaviour", "dtype", "max_new_tokens")


@dataclass(frozen=True)
class DiscoveryConfig:
    """One discovery, complete: the same configuration gives the same run on the same machine.

    Attributes:
        model: Name of an embedded model, or the path of a local Hugging Face folder.
        prompts: Path of a prompts file; None reads the one beside the model.
        method: Name of the learner; see `METHODS`.
        seed: Seed of everything random.
        ablation: What replaces a unit that is knocked out.
        steps: Optimiser steps of mask learning.
        budget: One size for heads and neurons together, or one for each kind.
        target_asr: The ASR to reach: at most this (backdoor) or at least this (refusal);
            None takes the behaviour's own.
        target_utility: Least utility retention of a circuit that counts as found.
        granularity: What a circuit may be made of.
        l1_weight: Only for the method `l1`: the price of a mask that takes every unit; None tries
            a ladder of prices, one run each.
        refine: Whether units the chosen circuit can do without are dropped one by one.
        controls: Whether the controls that must find nothing run as well, and the other evidence.
        adapter: Folder of a LoRA adapter that is put on top of the model.
        behaviour: Folder with a behaviour.json and a prompts.jsonl, or the name of a plug-in;
            None looks beside the model.
        dtype: Of the weights and activations; scores are always fp32.
        device: `auto`, or what torch calls it: `cpu`, `cuda`, `cuda:1`; `balanced` spreads the
            layers over all GPUs.
        micro_batch: Most rows of one forward-backward pass; None takes a batch at once.
        checkpointing: Whether layers are computed again on the way back instead of kept.
        max_new_tokens: Longest answer, in tokens, where answers are open; None is 128.
    """

    model: str
    prompts: str | None = None
    method: str = "nested"
    seed: int = 0
    ablation: AblationKind = "zero"
    steps: int = 100
    budget: Budget = "joint"
    target_asr: float | None = None
    target_utility: float = 0.99
    granularity: Granularity = "both"
    l1_weight: float | None = None
    refine: bool = True
    controls: bool = False
    adapter: str | None = None
    behaviour: str | None = None
    dtype: DataType = "float32"
    device: str = "auto"
    micro_batch: int | None = None
    checkpointing: bool = False
    max_new_tokens: int | None = None

    def __post_init__(self) -> None:
        self._check_types()
        for name, legal in (
            ("method", tuple(METHODS)),
            ("ablation", get_args(AblationKind)),
            ("budget", get_args(Budget)),
            ("granularity", get_args(Granularity)),
            ("dtype", get_args(DataType)),
        ):
            if getattr(self, name) not in legal:
                raise ConfigError(
                    f"{name} must be one of {', '.join(legal)}; got {getattr(self, name)!r}"
                )
        self._check_numbers()
        self._check_together()

    def _check_types(self) -> None:
        types = {
            "model": str,
            "seed": int,
            "steps": int,
            "refine": bool,
            "controls": bool,
            "device": str,
            "checkpointing": bool,
        }
        for name, kind in types.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise ConfigError(f"{name} must be {kind.__name__}; got {value!r}")

    def _check_numbers(self) -> None:
        if not 1 <= self.steps <= 100_000:
            raise ConfigError(f"steps must be between 1 and 100000; got {self.steps}")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed must be between 0 and 2147483647; got {self.seed}")
        for name in ("target_asr", "target_utility"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1):
                raise ConfigError(f"{name} must be a share between 0 and 1; got {value}")
        weight = self.l1_weight
        if weight is not None and not (isinstance(weight, int | float) and 0 <= weight < math.inf):
            raise ConfigError(
                f"l1_weight must be a number of at least 0, or left out; got {weight}"
            )

        for name in ("micro_batch", "max_new_tokens"):
            count = getattr(self, name)
            if count is not None and (type(count) is not int or count < 1):
                raise ConfigError(f"{name} must be at least 1, or left out; got {count!r}")

    def _check_together(self) -> None:
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

    def run_id(self) -> str:
        """`<model>-<method>-s<seed>-<hash of the configuration>`."""
        usual = {field.name: field.default for field in fields(self)}
        hashed = {
            name: value
            for name, value in self.to_json().items()
            if name not in NOT_HASHED and (name not in HASHED_WHEN_SET or value != usual[name])
        }
        text = json.dumps(hashed, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(self.model).name).strip("-") or "model"
        return f"{stem}-{self.method}-s{self.seed}-{digest}"

    def to_json(self) -> dict[str, Any]:
        """Every field, as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DiscoveryConfig:
        """The inverse of `to_json`; fields this version does not know are refused.

        Raises:
            ConfigError: A field is unknown, or its value is not usable.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown or "model" not in data:
            raise ConfigError(
                f"a configuration has model and any of {', '.join(sorted(known - {'model'}))}; "
                f"got {', '.join(sorted(data)) or 'nothing'}"
            )
        return cls(**data)
