"""What the pages ask for: saved runs, jobs, and live answers of a model.

torch and TransformerLens are imported when a live answer is first asked for, so that reading
saved runs starts at once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from circuitviz.behaviours.behaviour import Behaviour, load_behaviour
from circuitviz.errors import CircuitvizError
from circuitviz.evaluation.rate import Rate
from circuitviz.models.catalog import ModelCard, embedded_models, find_model
from circuitviz.paths import EMBEDDED_RUNS, runs_folder
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import Run, RunStore
from circuitviz.units import Circuit

if TYPE_CHECKING:
    from circuitviz.models.ablation import Ablation
    from circuitviz.models.model import GatedModel
    from circuitviz.runs.jobs import JobRunner

__all__ = [
    "LiveEffect",
    "RunCard",
    "behaviour_of",
    "default_run",
    "distinct_titles",
    "effect",
    "load_run",
    "model_cards",
    "model_title",
    "run_cards",
    "runner",
    "saved_run_of",
    "say",
    "store",
]

# Prompts a live measurement reads: enough to see a change, few enough to wait for.
LIVE_LIMIT = 64
ANSWER_TOKENS = 40


@dataclass(frozen=True)
class RunCard:
    """A saved run as the picker lists it."""

    run_id: str
    title: str
    model: str
    headline: bool


@dataclass(frozen=True)
class LiveEffect:
    """What knocking out one set of units does, measured now."""

    asr: Rate
    utility: Rate
    recovery: Rate
    kl: float


def store() -> RunStore:
    """The runs of this app: its own folder, and the ones that ship."""
    return RunStore(runs_folder(), shipped=(EMBEDDED_RUNS,))


def load_run(run_id: str) -> Run:
    """Read a run; kept in memory until its folder changes.

    Raises:
        RunNotFoundError: There is none.
        RunFormatError: Its folder is damaged.
    """
    folder = store().path(run_id)
    return _load_run(str(folder.resolve()), _modified(folder / "metrics.json"))


@st.cache_resource(max_entries=12, show_spinner=False)
def _load_run(folder: str, modified: float) -> Run:
    return store().load(folder)


def _modified(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def model_cards() -> list[ModelCard]:
    """The embedded models that have a behaviour to look for."""
    return [card for card in embedded_models() if card.behaviour_kind]


def model_title(name: str) -> str:
    """The name of a model for people."""
    titles = {card.name: card.title for card in embedded_models()}
    return titles.get(name, Path(name).name or name)


def run_cards() -> list[RunCard]:
    """All complete runs, as the store lists them."""
    headline = {card.name for card in embedded_models() if card.headline}
    found = {}
    for run_id in store().run_ids():
        path = store().path(run_id)
        try:
            found[run_id] = DiscoveryConfig.from_json(_json(path / "config.json"))
        except (OSError, ValueError, CircuitvizError):
            continue
    titles = distinct_titles(found)
    return [
        RunCard(run_id, titles[run_id], config.model, config.model in headline)
        for run_id, config in found.items()
    ]


def distinct_titles(runs: Mapping[str, DiscoveryConfig]) -> dict[str, str]:
    """A short name for each run: its model, and where that is not enough, what differs."""
    titles = {}
    for run_id, config in runs.items():
        same_model = [other for other in runs.values() if other.model == config.model]
        extras = [
            text
            for name, text in (
                ("seed", f"seed {config.seed}"),
                ("ablation", config.ablation),
                ("budget", config.budget),
                ("steps", f"{config.steps} steps"),
                ("method", config.method),
                ("target_asr", f"ASR target {config.target_asr}"),
                ("target_utility", f"utility target {config.target_utility}"),
                ("prompts", f"prompts {config.prompts}"),
            )
            if len({getattr(other, name) for other in same_model}) > 1
        ]
        titles[run_id] = " · ".join([model_title(config.model), *extras])
    return titles


def default_run() -> str | None:
    """The run to open with: of the first headline model, else the first there is."""
    cards = run_cards()
    order = [card.name for card in embedded_models() if card.headline]
    for name in order:
        for card in cards:
            if card.model == name:
                return card.run_id
    return cards[0].run_id if cards else None


def runner() -> JobRunner:
    """The job runner of this app's runs folder."""
    return _runner(str(runs_folder().resolve()))


@st.cache_resource(show_spinner=False, on_release=lambda runner: runner.close())
def _runner(folder: str) -> JobRunner:
    from circuitviz.runs.jobs import JobRunner

    return JobRunner(Path(folder))


def behaviour_of(config: DiscoveryConfig) -> Behaviour:
    """The behaviour a configuration looks for.

    Raises:
        ModelNotFoundError: Its model is not there.
        PromptFileError: Its prompts cannot be read.
    """
    return _behaviour(str(find_model(config.model)), config.prompts)


@st.cache_resource(max_entries=8, show_spinner=False)
def _behaviour(folder: str, prompts: str | None) -> Behaviour:
    return load_behaviour(Path(folder), Path(prompts) if prompts else None)


@st.cache_resource(show_spinner=False)
def _lock() -> threading.Lock:
    # Two live answers at once would only fight for the same cores.
    return threading.Lock()


@st.cache_resource(max_entries=2, show_spinner=False)
def _model(name: str) -> GatedModel:
    import torch

    from circuitviz.models.loading import load_model

    # The cores belong to the worker that learns masks.
    torch.set_num_threads(1)
    return load_model(name)


def effect(run: Run, circuit: Circuit, *, limit: int | None = LIVE_LIMIT) -> LiveEffect:
    """ASR, utility and recovery with exactly this circuit knocked out, on test prompts.

    Args:
        run: Gives model, prompts, ablation and seed.
        circuit: The units to knock out.
        limit: Prompts of each role to read; None reads all.

    Raises:
        CircuitvizError: The model or its prompts cannot be used.
    """
    return _effect(run.config, _names(circuit), limit)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs={DiscoveryConfig: repr})
def _effect(config: DiscoveryConfig, units: tuple[str, ...], limit: int | None) -> LiveEffect:
    from circuitviz.evaluation.effect import evaluate_circuit

    with _lock():
        model = _model(config.model)
        found = evaluate_circuit(
            model,
            behaviour_of(config),
            Circuit.of(model.space, units),
            split="test",
            limit=limit,
            ablation=_ablation(config),
        )
    return LiveEffect(found.asr, found.utility, found.recovery, float(found.kl))


def say(run: Run, prompts: tuple[str, ...], circuit: Circuit | None) -> list[str]:
    """The model's greedy answers, with a circuit knocked out or (None) intact.

    Raises:
        CircuitvizError: The model cannot be used.
    """
    units = None if circuit is None else _names(circuit)
    return _say(run.config, prompts, units)


@st.cache_data(max_entries=512, show_spinner=False, hash_funcs={DiscoveryConfig: repr})
def _say(
    config: DiscoveryConfig, prompts: tuple[str, ...], units: tuple[str, ...] | None
) -> list[str]:
    with _lock():
        model = _model(config.model)
        circuit = None if units is None else Circuit.of(model.space, units)
        return model.generate(
            list(prompts), circuit, ablation=_ablation(config), max_new_tokens=ANSWER_TOKENS
        )


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs={DiscoveryConfig: repr})
def _ablation(config: DiscoveryConfig) -> Ablation:
    from circuitviz.models.ablation import measure_ablation

    model, behaviour = _model(config.model), behaviour_of(config)
    neutral = [prompt.text for prompt in behaviour.prompts("train", "benign")]
    return measure_ablation(model, config.ablation, neutral, seed=config.seed)


def _names(circuit: Circuit) -> tuple[str, ...]:
    return tuple(str(unit) for unit in circuit)


def saved_run_of(config: DiscoveryConfig) -> str | None:
    """The id of a saved run of exactly this configuration, if there is one."""
    try:
        return store().path(config.run_id()).name
    except CircuitvizError:
        return None
