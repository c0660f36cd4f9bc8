"""Answers and measurements of a model, asked for now.

torch and TransformerLens are imported when the first one is asked for, so that reading saved
runs starts at once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from circuitviz.behaviours.behaviour import Behaviour, load_behaviour
from circuitviz.evaluation.rate import Rate
from circuitviz.models.catalog import find_model
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import Run
from circuitviz.units import Circuit

if TYPE_CHECKING:
    from circuitviz.models.ablation import Ablation
    from circuitviz.models.model import GatedModel

__all__ = ["LiveEffect", "behaviour_of", "effect", "say"]

# Prompts a live measurement reads: enough to see a change, few enough to wait for.
LIVE_LIMIT = 64
ANSWER_TOKENS = 40


@dataclass(frozen=True)
class LiveEffect:
    """What knocking out one set of units does, measured now."""

    asr: Rate
    utility: Rate
    recovery: Rate
    kl: float


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
    from circuitviz.models.neutral import measure_ablation

    model, behaviour = _model(config.model), behaviour_of(config)
    return measure_ablation(model, config.ablation, behaviour.neutral_messages, seed=config.seed)


@st.cache_resource(max_entries=2, show_spinner=False)
def _model(name: str) -> GatedModel:
    import torch

    from circuitviz.models.loading import load_model

    # The cores belong to the worker that learns masks.
    torch.set_num_threads(1)
    return load_model(name)


@st.cache_resource(show_spinner=False)
def _lock() -> threading.Lock:
    # Two live answers at once would only fight for the same cores.
    return threading.Lock()


def _names(circuit: Circuit) -> tuple[str, ...]:
    return tuple(str(unit) for unit in circuit)
