"""What a tuning is asked to do; its hash names the tuning."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from circuitviz.errors import ConfigError

TuningMode = Literal["protect", "repair"]

MOST_EPOCHS = 1000
REQUIRED = ("run", "mode")


@dataclass(frozen=True)
class TuningConfig:
    """One tuning, complete: the same configuration gives the same tuning on the same machine.

    Attributes:
        run: Id of a saved run, or the path of its folder.
        mode: `protect` trains everything but the circuit; `repair` trains the circuit alone.
        size: Units of the circuit, the best ones of the run's ranking; None: the run's own.
        seed: Seed of everything random: the order of lessons and the random circuit.
        epochs: Passes over the lessons; None: as many as the mode usually takes.
        learning_rate: Step size of the optimiser; None: the one the mode usually takes.
        data: Path of a JSONL file of lessons; None: those that come with the model.
        weight_decay: Of the optimiser; None: the one the mode usually takes with these lessons.
    """

    run: str
    mode: TuningMode
    size: int | None = None
    seed: int = 0
    epochs: int | None = None
    learning_rate: float | None = None
    data: str | None = None
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.run, str) or not self.run:
            raise ConfigError(f"run must be the id of a saved run or its path; got {self.run!r}")
        if self.mode not in get_args(TuningMode):
            raise ConfigError(
                f"mode must be one of {', '.join(get_args(TuningMode))}; got {self.mode!r}"
            )
        if self.data is not None and (not isinstance(self.data, str) or not self.data):
            raise ConfigError(f"data must be the path of a file, or left out; got {self.data!r}")
        self._check_numbers()

    def _check_numbers(self) -> None:
        _check_whole("seed", self.seed, 0, 2**31 - 1)
        if self.size is not None:
            _check_whole("size", self.size, 1, 2**31 - 1)
        if self.epochs is not None:
            _check_whole("epochs", self.epochs, 1, MOST_EPOCHS)
        rate = self.learning_rate
        if rate is not None and not (
            isinstance(rate, int | float) and not isinstance(rate, bool) and 0 < rate <= 1
        ):
            raise ConfigError(
                f"learning_rate must be a number above 0 and at most 1, or left out; got {rate!r}"
            )
        decay = self.weight_decay
        if decay is not None and not (
            isinstance(decay, int | float) and not isinstance(decay, bool) and 0 <= decay <= 100
        ):
            raise ConfigError(
                f"weight_decay must be a number between 0 and 100, or left out; got {decay!r}"
            )

    def tuning_id(self) -> str:
        """`<run>-<mode>-s<seed>-<hash of the configuration>`."""
        asked = self.to_json()
        if self.weight_decay is None:
            # Came later than the other fields: without it, tunings keep their names.
            del asked["weight_decay"]
        text = json.dumps(asked, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(self.run).name).strip("-") or "run"
        return f"{stem}-{self.mode}-s{self.seed}-{digest}"

    def to_json(self) -> dict[str, Any]:
        """Every field, as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TuningConfig:
        """The inverse of `to_json`; fields this version does not know are refused.

        Raises:
            ConfigError: A field is unknown, or its value is not usable.
        """
        known = {field.name for field in fields(cls)}
        unknown = set(data) - known
        if unknown or not set(REQUIRED) <= set(data):
            raise ConfigError(
                f"a tuning's configuration has {' and '.join(REQUIRED)}, and any of "
                f"{', '.join(sorted(known - set(REQUIRED)))}; "
                f"got {', '.join(sorted(data)) or 'nothing'}"
            )
        return cls(**data)


def _check_whole(name: str, value: Any, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(
            f"{name} must be a whole number between {least} and {most}; got {value!r}"
        )
