"""What the pages share: saved runs, embedded models, jobs."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.files import EMBEDDED_RUNS, runs_folder
from circuitviz.models.fetch import FETCHABLE
from circuitviz.models.source import ModelCard, embedded_models
from circuitviz.runs.config import DiscoveryConfig, TuningConfig
from circuitviz.runs.resolve import changed_since
from circuitviz.runs.store import FolderStore, Run, RunStore
from circuitviz.runs.tuning_store import Tuning, TuningStore
from circuitviz.runs.unit_sets import UnitSetStore
from circuitviz.ui.run_names import distinct_titles

if TYPE_CHECKING:
    from circuitviz.jobs.job import Job, JobKind
    from circuitviz.jobs.runner import JobRunner

Config = TypeVar("Config", DiscoveryConfig, TuningConfig)


@st.cache_resource(show_spinner=False)
def freeze_imports(what: str) -> None:
    """Keep the objects that are alive now out of garbage collection; for after large imports.

    Streamlit collects all garbage after each script run.  With torch and transformers imported that
    takes about 150 ms, nearly all of it to look at objects that live as long as the server.  What
    is frozen is freed only when its last reference goes, never as part of a cycle: models, which
    hold cycles, are loaded after it.

    Args:
        what: Was imported; done once in the life of the server for each.
    """
    del what  # the key of the cache
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class RunCard:
    """A saved run as the picker lists it."""

    run_id: str
    title: str
    model: str


def store() -> RunStore:
    """The runs of this app: its own folder, and the ones that ship."""
    return RunStore(runs_folder(), shipped=(EMBEDDED_RUNS,))


def load_run(run_id: str) -> Run:
    """Read a run; kept in memory until its folder changes.

    Raises:
        RunNotFoundError: There is none.
        RunFormatError: Its folder is damaged.
    """
    return _load_run(*_version(store().path(run_id)))


@st.cache_resource(max_entries=12, show_spinner=False)
def _load_run(folder: str, modified: float) -> Run:
    return store().load(folder)


def tuning_store() -> TuningStore:
    """The tunings of this app: beside its own runs, and those that ship."""
    return TuningStore(runs_folder(), shipped=(EMBEDDED_RUNS,))


def load_tuning(tuning_id: str) -> Tuning:
    """Read a tuning; kept in memory until its folder changes.

    Raises:
        RunNotFoundError: There is none.
        RunFormatError: Its folder is damaged.
    """
    return _load_tuning(*_version(tuning_store().path(tuning_id)))


@st.cache_resource(max_entries=12, show_spinner=False)
def _load_tuning(folder: str, modified: float) -> Tuning:
    return tuning_store().load(folder)


def _version(folder: Path) -> tuple[str, float]:
    """A folder, and when it was written."""
    metrics = folder / "metrics.json"
    return str(folder.resolve()), metrics.stat().st_mtime if metrics.exists() else 0.0


def run_configs() -> dict[str, DiscoveryConfig]:
    """The configurations of all complete runs, as the store lists them."""
    return _configs(store(), store().ids(), DiscoveryConfig.from_json)


def tuning_configs(run_id: str) -> dict[str, TuningConfig]:
    """The configurations of a run's complete tunings, as the store lists them."""
    return _configs(tuning_store(), tuning_store().ids_of(run_id), TuningConfig.from_json)


def _configs(
    saved: FolderStore[Any], names: Iterable[str], read: Callable[[dict[str, Any]], Config]
) -> dict[str, Config]:
    configs: dict[str, Config] = {}
    for name in names:
        # One that is removed meanwhile, or damaged, is left out.
        with suppress(OSError, ValueError, CircuitvizError):
            text = (saved.path(name) / "config.json").read_text(encoding="utf-8")
            configs[name] = read(json.loads(text))
    return configs


def unit_sets() -> UnitSetStore:
    """The sets of units saved in this app's own runs folder, also those of runs that ship."""
    return UnitSetStore(runs_folder())


def model_cards() -> list[ModelCard]:
    """The embedded models that have a behaviour to look for."""
    return [card for card in embedded_models() if card.behaviour_kind]


def model_title(name: str) -> str:
    """The name of a model for people."""
    titles = {card.name: card.title for card in embedded_models()}
    titles |= {name: packaged.title for name, packaged in FETCHABLE.items()}
    return titles.get(name, Path(name).name or name)


def run_model_title(run: str) -> str:
    """The name for people of a run's model; the run's own where it is not there any more."""
    name = Path(run).name
    config = run_configs().get(name)
    return model_title(config.model if config else name)


def run_cards() -> list[RunCard]:
    """All complete runs, as the store lists them."""
    configs = run_configs()
    titles = distinct_titles(configs, {card.name: card.title for card in embedded_models()})
    return [RunCard(run_id, titles[run_id], config.model) for run_id, config in configs.items()]


def default_run() -> str | None:
    """The run to open with: of the first headline model, else the first there is."""
    cards, headline = run_cards(), [card.name for card in embedded_models() if card.headline]
    first = [card for name in headline for card in cards if card.model == name]
    return next((card.run_id for card in (*first, *cards)), None)


def runner() -> JobRunner:
    """The job runner of this app's runs folder."""
    return _runner(str(runs_folder().resolve()))


def jobs(kind: JobKind) -> list[Job]:
    """The newest first; none where they cannot be read, which the list of jobs says."""
    try:
        return [job for job in runner().jobs() if job.kind == kind]
    except CircuitvizError:
        return []


def warm_up() -> None:
    """Let the worker import what it needs while the user still reads the form."""
    runner().warm_up()


@st.cache_resource(show_spinner=False, on_release=lambda runner: runner.close())
def _runner(folder: str) -> JobRunner:
    from circuitviz.jobs.runner import JobRunner

    return JobRunner(Path(folder))


def saved_run_of(config: DiscoveryConfig) -> str | None:
    """The id of a saved run of exactly this configuration, if there is one.

    A run without controls is none where the configuration asks for them, nor is one that was made
    with other weights or prompts than are there now.
    """
    try:
        run = load_run(config.run_id())
    except CircuitvizError:
        return None
    if (config.controls and not run.metrics.controls) or changed_since(run):
        return None
    return run.run_id


def active_job_of(config: DiscoveryConfig) -> str | None:
    """The id of a waiting or running job that will save this run, if there is one."""
    for job in jobs("discovery"):
        same = job.active and job.discovery.run_id() == config.run_id()
        if same and (job.discovery.controls or not config.controls):
            return job.job_id
    return None
