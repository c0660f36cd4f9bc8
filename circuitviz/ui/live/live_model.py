"""Answers and measurements of a model, asked for now.

torch and TransformerLens are imported when the first one is asked for, so that reading saved
runs starts at once.

What is remembered of them is kept by the configuration and the state of its files (`config_key`): a
path stays the same while the prompts behind it are edited, or a model is written anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.runtime.scriptrunner import RerunData, StopException, get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequestType

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.errors import CircuitvizError
from circuitviz.evaluation.rate import Rate
from circuitviz.models.source import file_stamp, find_source
from circuitviz.quiet import libraries_quiet
from circuitviz.runs import resolve
from circuitviz.runs.config import AblationKind, DiscoveryConfig
from circuitviz.runs.store import Run
from circuitviz.ui.services import freeze_imports
from circuitviz.units import Circuit, Unit

if TYPE_CHECKING:
    from circuitviz.evaluation.evaluator import Evaluator
    from circuitviz.models.ablation import Ablation
    from circuitviz.models.model import GatedModel

BEHAVIOUR_FILES = ("behaviour.json", "prompts.jsonl")

# Prompts a live measurement reads: enough to see a change, few enough to wait for.
LIVE_LIMIT = 64
ANSWER_TOKENS = 40
# Seconds between two looks whether the user who waits for the model still wants it.
POLL_SECONDS = 0.2
# A key that nothing is kept under.
_ASKED = "asked_meanwhile"


def config_key(config: DiscoveryConfig) -> str:
    """The configuration, with size and time of change of the files it stands for."""
    stamps: list[tuple[object, ...]] = []
    data = [Path(config.prompts)] if config.prompts else []
    # Whoever needs the model or the data says what is wrong with it.
    with suppress(CircuitvizError):
        stamps += file_stamp(find_source(config.model, config.adapter))
    with suppress(CircuitvizError):
        data += [resolve.behaviour_folder(config) / name for name in BEHAVIOUR_FILES]
    files = [(path, path.stat()) for path in data if path.is_file()]
    stamps += [(path, about.st_size, about.st_mtime_ns) for path, about in files]
    return "\n".join([repr(config), *(" ".join(map(str, stamp)) for stamp in stamps)])


# By what the caches of Streamlit tell apart what they are asked; they ask at each call.
LIVE_HASH: dict[str | type[Any], Callable[[Any], Any]] = {
    DiscoveryConfig: config_key,
    Run: lambda run: config_key(run.config),
    Unit: str,
    Circuit: lambda circuit: tuple(map(str, circuit)),
}


@dataclass(frozen=True)
class LiveEffect:
    """What knocking out one set of units does, measured now."""

    asr: Rate
    utility: Rate
    recovery: Rate
    kl: float


def live_behaviour(config: DiscoveryConfig) -> Behaviour:
    """The behaviour a configuration looks for.

    Raises:
        ModelNotFoundError: Its model is not there.
        PromptFileError: Its prompts cannot be read.
    """
    behaviour = _behaviour(
        DiscoveryConfig(
            config.model,
            prompts=config.prompts,
            behaviour=config.behaviour,
            adapter=config.adapter,
            dtype=config.dtype,
        )
    )
    # The model's answers may have come since.
    return resolve.behaviour_of(config) if behaviour.is_draft else behaviour


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=LIVE_HASH)
def _behaviour(config: DiscoveryConfig) -> Behaviour:
    return resolve.behaviour_of(config)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=LIVE_HASH)
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
    with _turn():
        evaluator = _evaluator(ablated_by(run, ablation), limit)
        units = Circuit.of(evaluator.model.space, circuit)
        (rates,) = evaluator.effects([units], on_progress=lambda _: give_way())
    return LiveEffect(rates.asr, rates.utility, rates.recovery, float(rates.kl))


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
    st.session_state.get(_ASKED)
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


# Sets of one run follow each other: prompts are tokenised, and the intact model is asked, once.
@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=LIVE_HASH)
def _evaluator(config: DiscoveryConfig, limit: int | None) -> Evaluator:
    from circuitviz.evaluation.evaluator import Evaluator
    from circuitviz.evaluation.intact_answers import complete_behaviour

    model = _model_of(config)
    # The run may come from elsewhere, without the answers.
    behaviour = complete_behaviour(
        model,
        live_behaviour(config),
        known_as=resolve.answerer(config),
        on_progress=lambda done, many: give_way(),
    )
    return Evaluator(model, behaviour, "test", limit=limit, ablation=_ablation(config))


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs=LIVE_HASH)
def _ablation(config: DiscoveryConfig) -> Ablation:
    from circuitviz.models.ablation import measure_ablation

    model, behaviour = _model_of(config), live_behaviour(config)
    return measure_ablation(model, config.ablation, behaviour.neutral_messages, seed=config.seed)


def _model_of(config: DiscoveryConfig) -> GatedModel:
    # All runs of a model share one copy of it.
    return _model(
        DiscoveryConfig(
            config.model, adapter=config.adapter, dtype=config.dtype, device=config.device
        )
    )


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=LIVE_HASH)
def _model(config: DiscoveryConfig) -> GatedModel:
    import torch
    import transformer_lens  # noqa: F401
    import transformers  # noqa: F401

    from circuitviz.runs.preparation import model_of

    freeze_imports("models")
    # The cores belong to the worker that learns masks.
    torch.set_num_threads(1)
    with libraries_quiet():
        return model_of(config)


@contextmanager
def _turn() -> Iterator[None]:
    lock = _lock()
    while not lock.acquire(timeout=POLL_SECONDS):
        give_way()
    try:
        yield
    finally:
        lock.release()


@st.cache_resource(show_spinner=False)
def _lock() -> threading.Lock:
    # Two live answers at once would only fight for the same cores.
    return threading.Lock()
