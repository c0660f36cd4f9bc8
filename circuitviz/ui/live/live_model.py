"""Answers and measurements of a model, asked for now.

torch and TransformerLens are imported when the first one is asked for, so that reading saved
runs starts at once.

What is remembered of them is kept by the configuration and the state of its files (`config_key`): a
path stays the same while the prompts behind it are edited, or a model is written anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.runtime.scriptrunner import RerunData, StopException, get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequestType

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.errors import CircuitvizError
from circuitviz.evaluation.rate import Rate
from circuitviz.models.source import Stamp, file_stamp, find_source
from circuitviz.quiet import libraries_quiet
from circuitviz.runs import resolve as behaviours
from circuitviz.runs.config import AblationKind, DiscoveryConfig
from circuitviz.runs.resolve import behaviour_folder
from circuitviz.runs.store import Run
from circuitviz.ui.services import set_imports_aside
from circuitviz.units import Circuit

if TYPE_CHECKING:
    from circuitviz.evaluation.evaluator import Evaluator
    from circuitviz.models.ablation import Ablation
    from circuitviz.models.model import GatedModel


BEHAVIOUR_FILES = ("behaviour.json", "prompts.jsonl")

# Prompts a live measurement reads: enough to see a change, few enough to wait for.
LIVE_LIMIT = 64
ANSWER_TOKENS = 40
# Seconds between two looks whether somebody who waits for the model still wants it.
PATIENCE = 0.2
# A key that nothing is kept under.
ASKED = "asked_meanwhile"


def config_key(config: DiscoveryConfig) -> str:
    """The configuration, with size and time of change of the files it stands for."""
    states = [f"{path} {size} {time}" for path, size, time in _model_files(config)]
    for path in _behaviour_files(config):
        if path.is_file():
            about = path.stat()
            states.append(f"{path} {about.st_size} {about.st_mtime_ns}")
    return "\n".join([repr(config), *states])


# For the caches of streamlit, which ask it at each call.
CONFIG_HASH: dict[str | type[Any], Callable[[Any], Any]] = {DiscoveryConfig: config_key}


def _model_files(config: DiscoveryConfig) -> Stamp:
    try:
        return file_stamp(find_source(config.model, config.adapter))
    except CircuitvizError:
        # Whoever needs the model says what is wrong with it.
        return ()


def _behaviour_files(config: DiscoveryConfig) -> list[Path]:
    own = [Path(config.prompts)] if config.prompts else []
    try:
        folder = behaviour_folder(config)
    except CircuitvizError:
        return own
    return [*own, *(folder / name for name in BEHAVIOUR_FILES)]


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
    found = _behaviour(
        DiscoveryConfig(
            config.model,
            prompts=config.prompts,
            behaviour=config.behaviour,
            adapter=config.adapter,
            dtype=config.dtype,
        )
    )
    # The model's answers may have come since.
    return behaviours.behaviour_of(config) if found.is_draft else found


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=CONFIG_HASH)
def _behaviour(config: DiscoveryConfig) -> Behaviour:
    return behaviours.behaviour_of(config)


def effect(
    run: Run,
    circuit: Circuit,
    *,
    ablation: AblationKind | None = None,
    limit: int | None = LIVE_LIMIT,
) -> LiveEffect:
    """ASR, utility and recovery with exactly this circuit knocked out, on test prompts.

    Args:
        run: Gives model, prompts, ablation and seed.
        circuit: The units to knock out.
        ablation: What replaces them; None: what the run used.
        limit: Prompts of each role to read; None reads all.

    Raises:
        CircuitvizError: The model or its prompts cannot be used.
    """
    return _effect(ablated_by(run, ablation), _names(circuit), limit)


def ablated_by(run: Run, ablation: AblationKind | None) -> DiscoveryConfig:
    """The run's configuration with another ablation; None keeps its own."""
    return replace(run.config, ablation=ablation) if ablation else run.config


@contextmanager
def model_at_work(config: DiscoveryConfig) -> Iterator[tuple[GatedModel, Ablation]]:
    """The model of a configuration and its ablation, for one caller at a time.

    Raises:
        CircuitvizError: The model or its prompts cannot be used.
    """
    with _turn():
        yield _model_of(config), _ablation(config)


def give_way() -> None:
    """To be called now and then during long work: ends it where the user asked for another thing.

    Whoever clicks on the next unit has no use for the numbers of the last one, and on a large
    model would wait for them for a quarter of a minute.
    """
    # Reading the session's state is where Streamlit looks for a newer request, and raises; one
    # that is for a fragment only would wait until this run has ended.
    st.session_state.get(ASKED)
    if _drawn_again():
        # `st.stop` would forget what was asked for.
        raise StopException


def _drawn_again() -> bool:
    """Whether the user, and no clock, asks for all that is being drawn to be drawn anew.

    No public interface of Streamlit tells; where it keeps this elsewhere, nothing is interrupted.
    """
    context = get_script_run_ctx(suppress_warning=True)
    drawn = getattr(context, "fragment_ids_this_run", None)
    requests = getattr(context, "script_requests", None)
    asked = getattr(requests, "_rerun_data", None)
    if not drawn or not isinstance(asked, RerunData) or asked.is_auto_rerun:
        return False
    waiting = getattr(requests, "_state", None) == ScriptRequestType.RERUN
    return waiting and set(drawn) <= set(asked.fragment_id_queue)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=CONFIG_HASH)
def _effect(config: DiscoveryConfig, units: tuple[str, ...], limit: int | None) -> LiveEffect:
    with _turn():
        probe = _probe(config, limit)
        circuit = Circuit.of(probe.model.space, units)
        (found,) = probe.effects([circuit], on_progress=lambda _: give_way())
    return LiveEffect(found.asr, found.utility, found.recovery, float(found.kl))


# Sets of one run follow each other: prompts are tokenised, and the intact model is asked, once.
@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=CONFIG_HASH)
def _probe(config: DiscoveryConfig, limit: int | None) -> Evaluator:
    from circuitviz.evaluation.evaluator import Evaluator
    from circuitviz.evaluation.intact_answers import complete_behaviour

    model = _model_of(config)
    # The run may come from elsewhere, without the answers.
    behaviour = complete_behaviour(
        model,
        behaviour_of(config),
        known_as=behaviours.answerer(config),
        on_progress=lambda done, many: give_way(),
    )
    return Evaluator(model, behaviour, "test", limit=limit, ablation=_ablation(config))


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=CONFIG_HASH)
def _ablation(config: DiscoveryConfig) -> Ablation:
    from circuitviz.models.ablation import measure_ablation

    model, behaviour = _model_of(config), behaviour_of(config)
    return measure_ablation(model, config.ablation, behaviour.neutral_messages, seed=config.seed)


def _model_of(config: DiscoveryConfig) -> GatedModel:
    # All runs of a model share one copy of it.
    return _model(
        DiscoveryConfig(
            config.model, adapter=config.adapter, dtype=config.dtype, device=config.device
        )
    )


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=CONFIG_HASH)
def _model(config: DiscoveryConfig) -> GatedModel:
    import torch
    import transformer_lens  # noqa: F401
    import transformers  # noqa: F401

    from circuitviz.runs.model_of import model_of

    set_imports_aside("models")
    # The cores belong to the worker that learns masks.
    torch.set_num_threads(1)
    with libraries_quiet():
        return model_of(config)


@contextmanager
def _turn() -> Iterator[None]:
    lock = _lock()
    while not lock.acquire(timeout=PATIENCE):
        give_way()
    try:
        yield
    finally:
        lock.release()


@st.cache_resource(show_spinner=False)
def _lock() -> threading.Lock:
    # Two live answers at once would only fight for the same cores.
    return threading.Lock()


def _names(circuit: Circuit) -> tuple[str, ...]:
    return tuple(str(unit) for unit in circuit)
