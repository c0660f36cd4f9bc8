"""Looks inside a model, asked for now and kept.

torch is imported when the first one is asked for, as in `circuitviz.ui.live.live_model`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from circuitviz.errors import ConfigError
from circuitviz.report.covering import could_harm
from circuitviz.runs.config import AblationKind, DiscoveryConfig
from circuitviz.runs.store import Run
from circuitviz.ui.live import live_model
from circuitviz.ui.live.live_model import CONFIG_HASH
from circuitviz.units import Circuit, Unit

if TYPE_CHECKING:
    from circuitviz.inspection.attention import HeadAttention
    from circuitviz.inspection.neuron_trace import NeuronTrace, TopPrompt
    from circuitviz.inspection.path_graph import PathGraph
    from circuitviz.inspection.promoted import Written
    from circuitviz.inspection.prompt_pair import PromptPair
    from circuitviz.models.model import GatedModel


def prompts(run: Run) -> dict[str, str]:
    """The attack prompts of the test split: id to message.

    Raises:
        CircuitvizError: The behaviour is not there.
    """
    found = live_model.behaviour_of(run.config).prompts("test", "attack")
    return {prompt.prompt_id: prompt.text for prompt in found}


def harmful(run: Run) -> frozenset[str]:
    """Ids of the test prompts that ask for something a safe model refuses.

    Raises:
        CircuitvizError: The behaviour is not there.
    """
    behaviour = live_model.behaviour_of(run.config)
    prompts = [*behaviour.prompts("test", "attack"), *behaviour.prompts("test", "benign")]
    rows = (
        {
            "prompt_id": prompt.prompt_id,
            "role": prompt.role,
            "category": prompt.category,
            # What is right without the behaviour; for refusal the refusal itself.
            "expected": prompt.answer or prompt.after or "",
        }
        for prompt in prompts
    )
    return frozenset(str(row["prompt_id"]) for row in rows if could_harm(run, row))


def pair(run: Run, prompt_id: str) -> PromptPair:
    """A test prompt, clean and triggered.

    Raises:
        CircuitvizError: There is no such prompt, or the model cannot be used.
    """
    return _pair(run.config, prompt_id)


def attention(run: Run, prompt_id: str, unit: Unit) -> HeadAttention:
    """Where a head looks; raises `CircuitvizError` as `pair` does."""
    return _attention(run.config, prompt_id, str(unit))


def writing(run: Run, prompt_id: str, unit: Unit) -> Written:
    """What a unit writes; raises `CircuitvizError` as `pair` does."""
    return _writing(run.config, prompt_id, str(unit))


def traces(run: Run, prompt_id: str, unit: Unit) -> tuple[NeuronTrace, NeuronTrace]:
    """A neuron over both prompts; raises `CircuitvizError` as `pair` does."""
    return _traces(run.config, prompt_id, str(unit))


def top(run: Run, unit: Unit) -> list[TopPrompt]:
    """The prompts that make a neuron most active; raises `CircuitvizError` as `pair` does."""
    return _top(run.config, str(unit))


def graph(run: Run, circuit: Circuit, ablation: AblationKind | None = None) -> PathGraph:
    """The effects along every path among a circuit's units.

    Raises:
        CircuitvizError: The circuit is too large, or the model cannot be used.
    """
    units = tuple(str(unit) for unit in circuit)
    return _graph(live_model.ablated_by(run, ablation), units)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=CONFIG_HASH)
def _pair(config: DiscoveryConfig, prompt_id: str) -> PromptPair:
    with live_model.model_at_work(config) as (model, _):
        return _paired(model, config, prompt_id)


def _paired(model: GatedModel, config: DiscoveryConfig, prompt_id: str) -> PromptPair:
    from circuitviz.inspection.prompt_pair import pair_of

    behaviour = live_model.behaviour_of(config)
    for prompt in behaviour.prompts("test", "attack"):
        if prompt.prompt_id == prompt_id:
            return pair_of(model, behaviour, prompt)
    raise ConfigError(f"no test attack prompt {prompt_id!r}; choose one from the list")


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=CONFIG_HASH)
def _attention(config: DiscoveryConfig, prompt_id: str, unit: str) -> HeadAttention:
    from circuitviz.inspection.attention import look_at_attention

    with live_model.model_at_work(config) as (model, _):
        return look_at_attention(model, _paired(model, config, prompt_id), Unit.parse(unit))


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=CONFIG_HASH)
def _writing(config: DiscoveryConfig, prompt_id: str, unit: str) -> Written:
    from circuitviz.inspection.promoted import look_at_writing

    with live_model.model_at_work(config) as (model, _):
        return look_at_writing(model, _paired(model, config, prompt_id), Unit.parse(unit))


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=CONFIG_HASH)
def _traces(config: DiscoveryConfig, prompt_id: str, unit: str) -> tuple[NeuronTrace, NeuronTrace]:
    from circuitviz.inspection.neuron_trace import look_at_neuron

    with live_model.model_at_work(config) as (model, _):
        return look_at_neuron(model, _paired(model, config, prompt_id), Unit.parse(unit))


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=CONFIG_HASH)
def _top(config: DiscoveryConfig, unit: str) -> list[TopPrompt]:
    from circuitviz.inspection.neuron_trace import top_prompts

    behaviour = live_model.behaviour_of(config)
    with live_model.model_at_work(config) as (model, _):
        return top_prompts(model, behaviour, Unit.parse(unit))


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=CONFIG_HASH)
def _graph(config: DiscoveryConfig, units: tuple[str, ...]) -> PathGraph:
    from circuitviz.inspection.path_effect import path_effects

    behaviour = live_model.behaviour_of(config)
    with live_model.model_at_work(config) as (model, ablation):
        circuit = Circuit.of(model.space, units)
        return path_effects(model, behaviour, circuit, ablation=ablation)
