"""The form that configures and starts a discovery."""

from __future__ import annotations

from typing import Any, get_args

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.models.catalog import ModelCard
from circuitviz.runs.config import AblationKind, Budget, DiscoveryConfig
from circuitviz.ui import live_model, services, state
from circuitviz.ui.discover_live import watch

__all__ = ["configuration", "start_button"]

OWN_FOLDER = "__own__"
ABLATIONS = {
    "zero": "Zero: the unit says nothing",
    "mean": "Mean: its average on neutral text",
    "resample": "Resample: its value on another prompt",
}
BUDGETS = {"joint": "One size for both", "separate": "Heads and neurons apart"}


def configuration(models: list[ModelCard]) -> DiscoveryConfig | None:
    """The form; None where what was entered is not usable, after saying why."""
    if not models:
        st.warning(
            "No embedded model is installed. Give the path of a local Hugging Face folder with a "
            "behaviour.json and a prompts.jsonl.",
            icon=":material/info:",
        )
    name = _model_choice(models)
    settings = _settings()
    if not name:
        return None
    try:
        config = DiscoveryConfig(model=name, **settings)
        behaviour = live_model.behaviour_of(config)
    except CircuitvizError as error:
        st.error(str(error), icon=":material/error:")
        return None
    trigger = f" Trigger: `{behaviour.trigger}`." if behaviour.trigger else ""
    n_test = len(behaviour.prompts("test", "attack"))
    st.markdown(f"**{behaviour.title}.** {behaviour.question}{trigger}")
    st.caption(f"{n_test:,} attack prompts are held out for the test · judge: {behaviour.judge}")
    return config


def _model_choice(models: list[ModelCard]) -> str:
    titles = {card.name: card.title for card in models} | {OWN_FOLDER: "A local folder"}
    summaries = {card.name: card.summary for card in models}
    chosen = st.pills(
        "Model",
        list(titles),
        default=next(iter(titles)),
        required=True,
        format_func=titles.__getitem__,
        key="model_pills",
        persist_state="session",
    )
    if chosen == OWN_FOLDER:
        return st.text_input(
            "Folder of a Hugging Face model",
            placeholder="/path/to/model",
            help="With config.json, weights, a tokenizer with a chat template, behaviour.json and "
            "prompts.jsonl. Nothing is downloaded.",
        ).strip()
    st.caption(summaries.get(str(chosen), ""))
    return str(chosen)


def _settings() -> dict[str, Any]:
    defaults = DiscoveryConfig(model="default")
    with st.expander("Method settings", icon=":material/tune:", key="method_settings"):
        left, right = st.columns(2, gap="large")
        with left:
            steps = st.number_input(
                "Steps",
                1,
                5000,
                defaults.steps,
                step=20,
                help="Optimiser steps of mask learning.",
                **_kept("steps"),
            )
            seed = st.number_input("Seed", 0, 2**31 - 1, defaults.seed, **_kept("seed"))
            target_utility = st.number_input(
                "Normal accuracy to keep (%)",
                0.0,
                100.0,
                100 * defaults.target_utility,
                step=0.5,
                **_kept("target_utility"),
            )
        with right:
            ablation = st.selectbox(
                "Switched-off units are replaced by",
                get_args(AblationKind),
                format_func=ABLATIONS.__getitem__,
                **_kept("ablation"),
            )
            budget = st.selectbox(
                "Budget",
                get_args(Budget),
                format_func=BUDGETS.__getitem__,
                help="Whether one size counts heads and neurons alike, or each kind has its own.",
                **_kept("budget"),
            )
            target_asr = st.number_input(
                "Attack success to reach (%)",
                0.0,
                100.0,
                None,
                placeholder="the behaviour's own: 0.4 (backdoor) or 97 (refusal)",
                **_kept("target_asr"),
            )
    return {
        "steps": int(steps),
        "seed": int(seed),
        "ablation": ablation,
        "budget": budget,
        "target_utility": target_utility / 100,
        "target_asr": None if target_asr is None else target_asr / 100,
    }


def _kept(name: str) -> dict[str, Any]:
    # The form is away while a discovery runs; what was set is there again afterwards.
    return {"key": f"setting_{name}", "persist_state": "session"}


def start_button(config: DiscoveryConfig) -> None:
    """Start, and the run that is there already, if one is."""
    saved = services.saved_run_of(config)
    if saved:
        st.info(
            "This exact configuration has a saved run. Running it again gives the same result.",
            icon=":material/inventory_2:",
        )
    with st.container(horizontal=True):
        st.button(
            "Run it again and watch" if saved else "Start discovery",
            type="secondary" if saved else "primary",
            icon=":material/play_arrow:",
            key="start",
            on_click=_start,
            args=(config,),
        )
        if saved and st.button(
            "Open the saved run", type="primary", icon=":material/folder_open:", key="open_saved"
        ):
            state.select_run(saved)
            st.switch_page("pages/overview.py")


def _start(config: DiscoveryConfig) -> None:
    try:
        watch(services.runner().submit(config))
    except CircuitvizError as error:
        st.error(str(error), icon=":material/error:")
