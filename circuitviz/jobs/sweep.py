"""Many discoveries in one file: models x behaviours x methods x seeds x settings.

What is saved already is skipped, and what ends is saved at once.

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
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import yaml

from circuitviz.errors import CircuitvizError, ConfigError
from circuitviz.jobs.pool import (
    MAX_WORKERS,
    LocalPool,
    Pool,
    PoolEvent,
    RayOptions,
    RayPool,
    gpu_count,
    require_ray,
    usual_workers,
)
from circuitviz.jobs.worker import one_line, unpack_run
from circuitviz.models.source import find_source, lasting_name
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.resolve import behaviour_of, changed_since
from circuitviz.runs.store import Run, RunStore

KEYS = ("models", "behaviours", "methods", "seeds", "settings", "ray")
MODEL_KEYS = ("model", "adapter")
# Fields that the other lists give.
_LISTED = ("model", "adapter", "behaviour", "method", "seed")
_SETTINGS = tuple(name for name in DiscoveryConfig.fields() if name not in _LISTED)
RAY_KEYS = tuple(one.name for one in fields(RayOptions))
# More is a typing error, not a sweep.
MAX_RUNS = 10_000
_MAX_BYTES = 1_000_000

SweptState = Literal["waiting", "submitted", "running", "done", "saved", "failed"]


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
        if count > MAX_RUNS:
            raise ConfigError(f"a sweep has at most {MAX_RUNS} runs; got {count}: split the file")
        configs = tuple(
            _config({key: value for part in parts for key, value in part.items()})
            for parts in product(*lists)
        )
        _refuse_repeated(configs)
        ray = {} if data.get("ray") is None else data["ray"]
        if not isinstance(ray, Mapping):
            raise ConfigError(f"ray is a mapping with any of {', '.join(RAY_KEYS)}; got {ray!r}")
        _refuse_unknown("ray", ray, RAY_KEYS)
        return cls(configs, RayOptions(**ray))


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        ConfigError: It cannot be read, or something in it is unknown or not usable.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"the sweep {path} is larger than {_MAX_BYTES} bytes")
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the sweep {path}: {one_line(str(error))}") from error
    try:
        return Sweep.from_json(data, path.resolve().parent)
    except CircuitvizError as error:
        raise ConfigError(f"{path}: {error}") from error


def chosen_pool(sweep: Sweep, workers: int | None, address: str | None) -> Pool:
    """The Ray cluster at an address, or so many processes of this machine.

    Raises:
        ConfigError: The number of processes is not usable, or Ray is not installed.
    """
    if address is not None:
        require_ray()
        return RayPool(address, sweep.ray)
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise ConfigError(f"--workers must be between 1 and {MAX_WORKERS}; got {workers}")
    return LocalPool(workers or usual_workers(sweep.configs), gpus=gpu_count(sweep.configs))


@dataclass(frozen=True)
class SweptRun:
    """The state of one run of a sweep.

    Attributes:
        config: What it is.
        state: `saved`: it was there before.  `submitted`: a cluster has it, which does not tell
            whether it has begun.  `done`: this sweep has saved it.
        fraction: Share of it that is done, in [0, 1]; None where that is not known.
        seconds: How long it took; None before it has ended.
        size: Units of its circuit; None before it has ended.
        asr: ASR on test prompts with the circuit knocked out, a share; None before.
        error: Why it failed, in one line.
    """

    config: DiscoveryConfig
    state: SweptState = "waiting"
    fraction: float | None = None
    seconds: float | None = None
    size: int | None = None
    asr: float | None = None
    error: str = ""

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do about it."""
        return self.state in ("done", "saved", "failed")

    def to_json(self) -> dict[str, Any]:
        """`{run_id, model, method, seed, state, seconds, size, asr, error}`."""
        return {
            "run_id": self.config.run_id(),
            "model": self.config.model,
            "method": self.config.method,
            "seed": self.config.seed,
            "state": self.state,
            "seconds": None if self.seconds is None else round(self.seconds, 2),
            "size": self.size,
            "asr": self.asr,
            "error": self.error or None,
        }


def check_sweep(sweep: Sweep) -> None:
    """Make sure that every model and behaviour of a sweep is there.

    Raises:
        CircuitvizError: One is not, or cannot be used.
    """
    checked: set[tuple[str | None, ...]] = set()
    for config in sweep.configs:
        what = (config.model, config.adapter, config.behaviour, config.prompts)
        if what not in checked:
            checked.add(what)
            find_source(config.model, config.adapter)
            behaviour_of(config)


def perform_sweep(
    sweep: Sweep,
    store: RunStore,
    pool: Pool,
    on_change: Callable[[SweptRun], None] = lambda run: None,
) -> list[SweptRun]:
    """Carry out the runs of a sweep that are not saved yet, and save each as it ends.

    A run that fails stops no other.

    Args:
        sweep: What to do.
        store: Where runs are looked up and saved.
        pool: Where they are carried out.
        on_change: Called with each run whose state is new; may raise to stop the sweep.
    """
    runs = [_looked_up(config, store) for config in sweep.configs]
    for run in runs:
        if run.ended:
            on_change(run)
    todo = [index for index, run in enumerate(runs) if not run.ended]
    if not todo:
        return runs
    with closing(_closable(pool, [runs[index].config for index in todo])) as events:
        for event in events:
            index = todo[event.index]
            runs[index] = _moved(runs[index], event, store)
            on_change(runs[index])
    return runs


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
    path = (folder / item).resolve()
    return {"behaviour": str(path) if path.is_dir() else item}


def _setting(item: Any, folder: Path) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise ConfigError(f"each of settings is a mapping, as {{steps: 200}}; got {item!r}")
    _refuse_unknown("settings", item, _SETTINGS)
    setting = dict(item)
    if isinstance(setting.get("prompts"), str):
        setting["prompts"] = str((folder / setting["prompts"]).resolve())
    return setting


def _config(settings: dict[str, Any]) -> DiscoveryConfig:
    try:
        return DiscoveryConfig.from_json(settings)
    except ConfigError as error:
        what = ", ".join(f"{key} {value}" for key, value in settings.items())
        raise ConfigError(f"the run with {what}: {error}") from error


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


def _closable(pool: Pool, configs: list[DiscoveryConfig]) -> Generator[PoolEvent]:
    # A generator of its own: closing it ends the pool's, whatever that is.
    yield from pool.events(configs)


def _looked_up(config: DiscoveryConfig, store: RunStore) -> SweptRun:
    try:
        run = store.load(config.run_id())
    except CircuitvizError:
        # None yet, or a damaged one: it is made again.
        return SweptRun(config)
    if (config.controls and not run.config.controls) or changed_since(run):
        return SweptRun(config)
    return _ended(SweptRun(config), "saved", run, run.metrics.seconds)


def _moved(run: SweptRun, event: PoolEvent, store: RunStore) -> SweptRun:
    if event.answer is None:
        state = "submitted" if event.fraction is None else "running"
        return replace(run, state=state, fraction=event.fraction)
    answer, error = event.answer, event.answer.error
    if not error:
        try:
            saved = unpack_run(run.config.run_id(), answer.files)
            store.save(saved)
            return _ended(run, "done", saved, answer.seconds)
        except CircuitvizError as damage:
            error = str(damage)
    return replace(run, state="failed", seconds=answer.seconds, error=error)


def _ended(run: SweptRun, state: SweptState, saved: Run, seconds: float | None) -> SweptRun:
    asr = saved.metrics.asr.knocked_out.rate
    return replace(run, state=state, fraction=1.0, seconds=seconds, size=saved.size, asr=asr)
