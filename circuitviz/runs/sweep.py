"""Many discoveries in one file: models x behaviours x methods x seeds x settings.

    models: [fixed-output-planted, {model: ../my-model, adapter: ../my-adapter}]
    behaviours: [../my-behaviour]         # none: each model's own
    methods: [nested, attribution]        # none: nested
    seeds: [0, 1, 2]                      # none: 0
    settings:                             # none: the usual ones
      - {steps: 100}
      - {steps: 200, budget: separate}
    ray: {num_cpus: 1, num_gpus: 0, max_retries: 3}     # of each run, on a Ray cluster

Paths are relative to the file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from circuitviz.errors import CircuitvizError, ConfigError
from circuitviz.models.source import lasting_name
from circuitviz.runs.config import DiscoveryConfig

KEYS = ("models", "behaviours", "methods", "seeds", "settings", "ray")
MODEL_KEYS = ("model", "adapter")
# Fields that the other lists give.
LISTED = ("model", "adapter", "behaviour", "method", "seed")
SETTINGS = tuple(name for name in DiscoveryConfig.fields() if name not in LISTED)
# A typing error, not a sweep.
MOST_RUNS = 10_000
MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class RayOptions:
    """What Ray is told about each run.

    Attributes:
        num_cpus: Cores it takes.
        num_gpus: GPUs it takes; a part of one where several runs share it.
        max_retries: How often Ray starts it again after a node or a process has died.
    """

    num_cpus: float = 1
    num_gpus: float = 0
    max_retries: int = 3

    def __post_init__(self) -> None:
        for name in ("num_cpus", "num_gpus"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < math.inf:
                raise ConfigError(f"ray: {name} must be a number of at least 0; got {value!r}")
        retries = self.max_retries
        if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
            raise ConfigError(
                f"ray: max_retries must be a whole number of at least 0; got {retries!r}"
            )


@dataclass(frozen=True)
class Sweep:
    """Discoveries to carry out, each of them valid and none twice.

    Attributes:
        configs: What to do, in the order of the lists: the last one changes fastest.
        ray: What Ray is told about each.
    """

    configs: tuple[DiscoveryConfig, ...]
    ray: RayOptions = field(default_factory=RayOptions)

    @classmethod
    def from_json(cls, data: Any, folder: Path = Path()) -> Sweep:
        """Check and multiply out what a sweep file says.

        Args:
            data: Its content.
            folder: What paths are relative to.

        Raises:
            ConfigError: Something in it is unknown or not usable.
        """
        if not isinstance(data, Mapping) or not data.get("models"):
            raise ConfigError(
                f"a sweep has a list of models, and any of {', '.join(KEYS[1:])}; got {data!r}"
            )
        _refuse_unknown("a sweep", data, KEYS)
        lists = [
            [_model(item, folder) for item in _listed(data, "models", None)],
            [_behaviour(item, folder) for item in _listed(data, "behaviours", None)],
            [{"method": item} for item in _listed(data, "methods", DiscoveryConfig.method)],
            [{"seed": item} for item in _listed(data, "seeds", DiscoveryConfig.seed)],
            [_setting(item, folder) for item in _listed(data, "settings", {})],
        ]
        count = math.prod(map(len, lists))
        if count > MOST_RUNS:
            raise ConfigError(f"a sweep has at most {MOST_RUNS} runs; got {count}: split the file")
        configs = tuple(
            _config({key: value for part in parts for key, value in part.items()})
            for parts in product(*lists)
        )
        _refuse_repeated(configs)
        return cls(configs, _ray(data.get("ray")))


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        ConfigError: It cannot be read, or something in it is unknown or not usable.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"the sweep {path} is larger than {MOST_BYTES} bytes")
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"cannot read the sweep {path}: {reason}") from error
    try:
        return Sweep.from_json(data, path.resolve().parent)
    except CircuitvizError as error:
        raise ConfigError(f"{path}: {error}") from error


def _listed(data: Mapping[str, Any], key: str, default: Any) -> list[Any]:
    value = data.get(key)
    if value is None:
        return [default]
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{key} must be a list of at least one; got {value!r}")
    repeated = [item for item, times in Counter(map(repr, value)).items() if times > 1]
    if repeated:
        raise ConfigError(f"{key} names {repeated[0]} twice; leave one out")
    return value


def _model(item: Any, folder: Path) -> dict[str, Any]:
    if isinstance(item, str):
        item = {"model": item}
    if not isinstance(item, Mapping) or not all(isinstance(name, str) for name in item.values()):
        raise ConfigError(f"a model is a name, a path, or {{model: …, adapter: …}}; got {item!r}")
    _refuse_unknown("a model", item, MODEL_KEYS)
    if "model" not in item:
        raise ConfigError(f"an entry of models has no model; got {dict(item)!r}")
    return {key: lasting_name(value, folder) for key, value in item.items()}


def _behaviour(item: Any, folder: Path) -> dict[str, Any]:
    if item is None:
        return {}
    if not isinstance(item, str):
        raise ConfigError(f"a behaviour is a folder or the name of a plug-in; got {item!r}")
    return {"behaviour": _lasting(item, folder)}


def _setting(item: Any, folder: Path) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise ConfigError(f"each of settings is a mapping, as {{steps: 200}}; got {item!r}")
    _refuse_unknown("settings", item, SETTINGS)
    found = dict(item)
    if isinstance(found.get("prompts"), str):
        found["prompts"] = str((folder / found["prompts"]).resolve())
    return found


def _config(settings: dict[str, Any]) -> DiscoveryConfig:
    try:
        return DiscoveryConfig.from_json(settings)
    except ConfigError as error:
        what = ", ".join(f"{key} {value}" for key, value in settings.items())
        raise ConfigError(f"the run with {what}: {error}") from error


def _ray(item: Any) -> RayOptions:
    if item is None:
        return RayOptions()
    known = tuple(one.name for one in fields(RayOptions))
    if not isinstance(item, Mapping):
        raise ConfigError(f"ray is a mapping with any of {', '.join(known)}; got {item!r}")
    _refuse_unknown("ray", item, known)
    return RayOptions(**item)


def _lasting(name: str, folder: Path) -> str:
    """A path that lies beside the sweep file, made absolute; any other name as it is."""
    path = (folder / name).resolve()
    return str(path) if path.is_dir() else name


def _refuse_unknown(what: str, data: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    unknown = [str(key) for key in data if key not in known]
    if unknown:
        raise ConfigError(f"{what} knows {', '.join(known)}; got {', '.join(unknown)}")


def _refuse_repeated(configs: tuple[DiscoveryConfig, ...]) -> None:
    seen: dict[str, DiscoveryConfig] = {}
    for config in configs:
        other = seen.setdefault(config.run_id(), config)
        if other is not config:
            raise ConfigError(
                f"the sweep asks twice for the run {config.run_id()}, with settings that differ "
                "in nothing that counts; leave one out"
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
