"""The form that configures and starts a discovery."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import streamlit as st

from circuitviz.discovery.methods import METHODS
from circuitviz.errors import CircuitvizError
from circuitviz.evaluation.judge import deciding_judge
from circuitviz.models.source import ModelCard
from circuitviz.runs.config import AblationKind, Budget, DiscoveryConfig
from circuitviz.ui import services, state
from circuitviz.ui.discover.model_picker import model_picker
from circuitviz.ui.elements.components import error
from circuitviz.ui.elements.words import literal, literal_code
from circuitviz.ui.jobs import start_button as job_button
from circuitviz.ui.live import live_model
from circuitviz.ui.run_names import method_title
from circuitviz.units import Granularity

ABLATIONS = {
    "zero": "Zero: the unit says nothing",
    "mean": "Mean: its average on neutral text",
    "resample": "Resample: its value on another prompt",
}
GRANULARITY_TITLES = {
    "both": "Heads and neurons",
    "heads": "Attention heads alone",
    "neurons": "Neurons alone",
    "layers": "Whole layers (attention or MLP blocks)",
}
# Methods for which the number of steps matters, and what a step is.
STEP_HELP = {
    "nested": "Optimiser steps of mask learning.",
    "l1": "Optimiser steps of mask learning, for each weight.",
    "l1-path": "Optimiser steps, over which the weight rises.",
}
BUDGETS = {"joint": "One size for both", "separate": "Heads and neurons apart"}


def configuration(models: list[ModelCard]) -> DiscoveryConfig | None:
    """The form; None where what was entered is not usable, after saying why."""
    if not models:
        st.warning(
            "No embedded model is installed. Name one of your own on the page Models and data.",
            icon=":material/info:",
        )
    chosen = model_picker(models)
    settings = _settings()
    if chosen is None:
        return None
    try:
        config = replace(chosen, **settings)
        behaviour = live_model.behaviour_of(config)
    except CircuitvizError as failure:
        error(str(failure))
        return None
    trigger = f" Trigger: {literal_code(behaviour.trigger)}." if behaviour.trigger else ""
    judge = deciding_judge(behaviour).name
    n_test = len(behaviour.prompts("test", "attack"))
    st.markdown(f"**{literal(behaviour.title)}.** {literal(behaviour.question)}{trigger}")
    st.caption(f"{n_test:,} attack prompts are held out for the test · judge: {literal(judge)}")
    return config


def _settings() -> dict[str, Any]:
    with st.expander("Method settings", icon=":material/tune:", key="method_settings"):
        method = _method_choice()
        left, right = st.columns(2, gap="large")
        with left:
            found = {**_learning_settings(method), **_circuit_settings()}
        with right:
            found |= _target_settings()
        found |= _extra_settings()
    return {"method": method, **found}


def _method_choice() -> str:
    method = st.selectbox(
        "Method",
        list(METHODS),
        format_func=method_title,
        help="How units are scored. Whatever the method, the circuit is chosen, tested and shown "
        "in the same way.",
        **_kept("method"),
    )
    card = METHODS[method]
    st.caption(f"{card.summary}  \nSource: {card.paper}")
    return method


def _learning_settings(method: str) -> dict[str, Any]:
    defaults = DiscoveryConfig(model="default")
    found: dict[str, Any] = {}
    if method in STEP_HELP:
        found["steps"] = st.number_input(
            "Steps",
            1,
            5000,
            defaults.steps,
            step=20,
            help=STEP_HELP[method],
            **_kept("steps"),
        )
    if method == "l1":
        found["l1_weight"] = st.number_input(
            "L1 weight",
            0.0,
            None,
            None,
            placeholder="a ladder of weights, one run each",
            help="Price of a mask that takes every unit; higher prices give smaller circuits. "
            "Left empty, a small ladder of weights is tried, which takes longer.",
            **_kept("l1_weight"),
        )
    found["seed"] = st.number_input("Seed", 0, 2**31 - 1, defaults.seed, **_kept("seed"))
    return found


def _extra_settings() -> dict[str, Any]:
    defaults = DiscoveryConfig(model="default")
    refine = st.toggle(
        "Refine the circuit (drop units that are not needed)",
        defaults.refine,
        help="The chosen circuit, if it has at most 64 units, is tried without each of its units "
        "in turn, on validation prompts; a unit it can do without is dropped.",
        **_kept("refine"),
    )
    controls = st.toggle(
        "Run the controls (about a minute more)",
        defaults.controls,
        help="100 random circuits, a nonsense target, a model with random weights and a random "
        "trigger: each must fail to find anything. Also gathers the other evidence.",
        **_kept("controls"),
    )
    return {"refine": refine, "controls": controls}


def _target_settings() -> dict[str, Any]:
    defaults = DiscoveryConfig(model="default")
    ablation = st.selectbox(
        "Switched-off units are replaced by",
        get_args(AblationKind),
        format_func=ABLATIONS.__getitem__,
        **_kept("ablation"),
    )
    asr = st.number_input(
        "Attack success to reach (%)",
        0.0,
        100.0,
        None,
        placeholder="0.4 or 97",
        help="At most this for a backdoor, at least this for refusals. Left empty, it is 0.4 for a "
        "backdoor and 97 for refusals.",
        **_kept("target_asr"),
    )
    utility = st.number_input(
        "Normal accuracy to keep (%)",
        0.0,
        100.0,
        100 * defaults.target_utility,
        step=0.5,
        **_kept("target_utility"),
    )
    return {
        "ablation": ablation,
        "target_asr": None if asr is None else asr / 100,
        "target_utility": utility / 100,
    }


def _circuit_settings() -> dict[str, Any]:
    granularity = st.selectbox(
        "What a circuit may be made of",
        get_args(Granularity),
        format_func=GRANULARITY_TITLES.__getitem__,
        help="Whole layers: all heads of a layer, or all of its neurons, go together.",
        **_kept("granularity"),
    )
    # One kind alone has nothing to share a budget with.
    budget = "joint"
    if granularity == "both":
        budget = st.selectbox(
            "Budget",
            get_args(Budget),
            format_func=BUDGETS.__getitem__,
            help="Whether one size counts heads and neurons alike, or each kind has its own.",
            **_kept("budget"),
        )
    return {"granularity": granularity, "budget": budget}


def _kept(name: str) -> dict[str, Any]:
    # The form is away while a discovery runs; what was set is there again afterwards.
    return {"key": f"setting_{name}", "persist_state": "session"}


def start_button(config: DiscoveryConfig) -> None:
    """Start, and the run that is there already, if one is."""
    saved = services.saved_run_of(config)

    def opener() -> None:
        if st.button(
            "Open the saved run", type="primary", icon=":material/folder_open:", key="open_saved"
        ):
            state.select_run(str(saved))
            st.switch_page("pages/overview.py")

    job_button(config, saved=saved is not None, key="start", opener=opener)
