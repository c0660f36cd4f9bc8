"""The form that configures and starts a discovery."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from circuitviz.discovery.methods import METHODS
from circuitviz.errors import CircuitvizError
from circuitviz.evaluation.judge import deciding_judge
from circuitviz.models.source import ModelCard
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.ui import services, state
from circuitviz.ui.discover.model_picker import model_picker
from circuitviz.ui.elements.components import error
from circuitviz.ui.elements.keys import SettingWidgets
from circuitviz.ui.elements.words import literal, literal_code
from circuitviz.ui.jobs import start_button as job_button
from circuitviz.ui.live import live_model

_ABLATIONS = {
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
BUDGETS = {"joint": "One size for both", "separate": "Heads and neurons apart"}
_WIDGETS = SettingWidgets(DiscoveryConfig, "setting")


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
        behaviour = live_model.live_behaviour(config)
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
        method = _WIDGETS.choice(
            "method", "Method", {name: card.title for name, card in METHODS.items()}
        )
        st.caption(f"{METHODS[method].summary}  \nSource: {METHODS[method].paper}")
        left, right = st.columns(2, gap="large")
        with left:
            settings = {"method": method, **_learning_settings(method), **_circuit_settings()}
        with right:
            settings |= _target_settings()
        settings["refine"] = _WIDGETS.toggle(
            "refine", "Refine the circuit (drop units that are not needed)"
        )
        settings["controls"] = _WIDGETS.toggle("controls", "Run the controls (about a minute more)")
    return settings


def _learning_settings(method: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if METHODS[method].has_steps:
        settings["steps"] = _WIDGETS.number(
            "steps", "Steps", max_value=5000, step=20, help=METHODS[method].steps_help
        )
    if method == "l1":
        settings["l1_weight"] = _WIDGETS.number(
            "l1_weight", "L1 weight", placeholder="a ladder of weights, one run each"
        )
    settings["seed"] = _WIDGETS.number("seed", "Seed")
    return settings


def _circuit_settings() -> dict[str, Any]:
    granularity = _WIDGETS.choice(
        "granularity", "What a circuit may be made of", GRANULARITY_TITLES
    )
    # One kind alone has nothing to share a budget with.
    both = granularity == "both"
    budget = _WIDGETS.choice("budget", "Budget", BUDGETS) if both else "joint"
    return {"granularity": granularity, "budget": budget}


def _target_settings() -> dict[str, Any]:
    """Shares are shown as percentages."""
    ablation = _WIDGETS.choice("ablation", "Switched-off units are replaced by", _ABLATIONS)
    asr = _WIDGETS.number(
        "target_asr",
        "Attack success to reach (%)",
        max_value=100.0,
        placeholder="0.4 or 97",
        help="At most this for a backdoor, at least this for refusals. Left empty, it is 0.4 for a "
        "backdoor and 97 for refusals.",
    )
    utility = _WIDGETS.number(
        "target_utility",
        "Normal accuracy to keep (%)",
        max_value=100.0,
        value=100 * DiscoveryConfig.target_utility,
        step=0.5,
    )
    return {
        "ablation": ablation,
        "target_asr": None if asr is None else asr / 100,
        "target_utility": utility / 100,
    }


def discover_button(config: DiscoveryConfig) -> None:
    """Start, and the run that is there already, if one is."""
    saved = services.saved_run_of(config)

    def opener() -> None:
        if st.button(
            "Open the saved run", type="primary", icon=":material/folder_open:", key="open_saved"
        ):
            state.select_run(str(saved))
            st.switch_page("pages/overview.py")

    job_button(config, saved=saved is not None, key="start", opener=opener)
