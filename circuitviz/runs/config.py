"""What a discovery is asked to do; its hash names the run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from circuitviz.errors import ConfigError

__all__ = ["AblationKind", "Budget", "DiscoveryConfig"]

AblationKind = Literal["zero", "mean", "resample"]
Budget = Literal["joint", "separate"]
METHODS = ("nested",)


@dataclass(frozen=True)
class DiscoveryConfig:
    """One discovery, complete: the same configuration gives the same run on the same machine.

    Attributes:
        model: Name of an embedded model, or the path of a local Hugging Face folder.
        prompts: Path of a prompts file; None reads the one beside the model.
        method: Name of the learner.
        seed: Seed of everything random.
        ablation: What replaces a unit that is knocked out.
        steps: Optimiser steps of mask learning.
        budget: One size for heads and neurons together, or one for each kind.
        target_asr: The ASR to reach: at most this (backdoor) or at least this (refusal);
            None takes the behaviour's own.
        target_utility: Least utility retention of a circuit that counts as found.
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

    def __post_init__(self) -> None:
        for name, kind in (("model", str), ("seed", int), ("steps", int)):
            if not isinstance(getattr(self, name), kind):
                raise ConfigError(f"{name} must be {kind.__name__}; got {getattr(self, name)!r}")
        for name, legal in (
            ("method", METHODS),
            ("ablation", get_args(AblationKind)),
            ("budget", get_args(Budget)),
        ):
            if getattr(self, name) not in legal:
                raise ConfigError(
                    f"{name} must be one of {', '.join(legal)}; got {getattr(self, name)!r}"
                )
        if not 1 <= self.steps <= 100_000:
            raise ConfigError(f"steps must be between 1 and 100000; got {self.steps}")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed must be between 0 and 2147483647; got {self.seed}")
        for name in ("target_asr", "target_utility"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} must be a share between 0 and 1; got {value}")

    def run_id(self) -> str:
        """`<model>-<method>-s<seed>-<hash of the whole configuration>`."""
        text = json.dumps(self.to_json(), sort_keys=True)
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
