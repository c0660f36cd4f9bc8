"""From a model and data to a discovery, and what the page answers meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st
import yaml

from circuitviz.errors import CircuitvizError
from circuitviz.narrative.numbers import count
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.ui import services, state
from circuitviz.ui.elements.components import download, error
from circuitviz.ui.jobs import start_discovery, watch
from circuitviz.ui.models.choice import kept
from circuitviz.ui.models.data import ChosenData
from circuitviz.ui.models.memory import longest_prompt, memory_form
from circuitviz.ui.models.model import ChosenModel

FILE = "sweep.yaml"
METHODS, SEEDS = ("nested", "attribution"), (0, 1, 2)
# Fields of a configuration that the lists of a sweep give.
_LISTED = ("model", "adapter", "behaviour", "method", "seed")
_HEADER = """\
# Every model is searched for every behaviour, by every method, with every seed and setting.
# Run it with: circuitviz sweep {file}
"""


def sweep_text(config: DiscoveryConfig) -> str:
    """A sweep of two methods and three seeds around a configuration, as YAML."""
    usual = DiscoveryConfig(model=config.model).to_json()
    model: Any = config.model
    if config.adapter:
        model = {"model": config.model, "adapter": config.adapter}
    settings = {
        name: value
        for name, value in config.to_json().items()
        if name not in _LISTED and value != usual[name]
    }
    sweep: dict[str, Any] = {"models": [model]}
    if config.behaviour:
        sweep["behaviours"] = [config.behaviour]
    sweep |= {"methods": list(METHODS), "seeds": list(SEEDS)}
    if settings:
        sweep["settings"] = [settings]
    text = yaml.safe_dump(sweep, sort_keys=False, allow_unicode=True, width=1000)
    return _HEADER.format(file=FILE) + text


def sweep_section(config: DiscoveryConfig, data: ChosenData) -> None:
    """What a sweep is, its file and the commands that run it."""
    text = sweep_text(config)
    runs = len(METHODS) * len(SEEDS)

    def saved_text() -> str:
        # The file names the data by its folder, which has to be there.
        data.save()
        return text

    with st.expander(
        "Many seeds, methods or models at once: a sweep", icon=":material/apps:", key="sweep"
    ):
        st.markdown(
            f"A sweep carries out every combination of its lists, {runs} discoveries here, in as "
            "many processes as this machine has room for, or on a Ray cluster. It can be stopped "
            "and goes on where it was; finished runs appear in the app as they land."
        )
        st.code(text, language="yaml", wrap_lines=True)
        if data.made:
            st.caption(
                "The file names your data by its folder. Downloading the file saves that folder, "
                "and so does finding the circuit."
            )
        download(f"Download {FILE}", saved_text, FILE, "application/yaml", key="download_sweep")
        st.code(f"circuitviz sweep {FILE}\ncircuitviz sweep {FILE} --ray auto", language="bash")


def models_answer(model: ChosenModel, data: ChosenData) -> tuple[str, str]:
    """The page's answer and its lead: what is there, and what is missing."""
    if not model.name:
        return (
            "Yes: name a model, give it prompts, find the circuit",
            "Any decoder with attention heads and MLP neurons. Model and prompts are checked at "
            "once, before anything is loaded, and nothing leaves this machine.",
        )
    if model.unfetched:
        return (
            f"{model.title} needs weights that are not on this machine yet",
            "Fetch them below. Then the page goes on by itself.",
        )
    if not model.usable:
        return (
            f"{model.title} cannot be used",
            "Why, and what to do about it, is said below its name. Nothing was loaded.",
        )
    if data.errors:
        return (
            f"{model.title} can be searched; the prompts have {count(len(data.errors), 'error')}",
            data.errors[0][:1].upper() + data.errors[0][1:],
        )
    if data.wanted:
        return f"{model.title} can be searched", data.wanted
    if data.behaviour is None:
        return (
            f"{model.title} can be searched",
            "Now the prompts: upload a table, or take a behaviour that is there already.",
        )
    n_test = len(data.behaviour.prompts("test", "attack"))
    return (
        f"Ready to search {model.title}",
        f"{data.behaviour.title}: {count(len(data.behaviour.all_prompts), 'prompt')}, "
        f"{n_test:,} attacks among them held out for the test.",
    )


def running_form(model: ChosenModel, data: ChosenData) -> DiscoveryConfig | None:
    """How the model is run, so that learning from the data fits into memory; None if it cannot."""
    if model.checked is None or not model.usable:
        return None
    length = longest_prompt(data.behaviour, model.checked.folder) if data.behaviour else None
    return memory_form(model, length)


def first_configuration(
    running: DiscoveryConfig | None, data: ChosenData
) -> DiscoveryConfig | None:
    """The discovery, once its settings are drawn; None as long as something is missing."""
    if running is None or data.behaviour is None:
        st.caption("The button comes once model and data can be used.")
        return None
    usual = DiscoveryConfig(model="usual")
    with st.expander("Search settings", icon=":material/tune:", key="search_settings"):
        left, right = st.columns(2, gap="large")
        steps = left.number_input(
            "Steps",
            1,
            5000,
            step=20,
            help="Optimiser steps of mask learning.",
            key=kept("steps", usual.steps),
        )
        seed = right.number_input("Seed", 0, 2**31 - 1, key=kept("seed", usual.seed))
        st.caption("Every other setting, and the other methods, are on the page Discover.")
    # In view: without them the report says that nobody tried to prove the finding wrong.
    controls = st.toggle(
        "Run the controls too (as long again, or longer)",
        help="They try to prove the finding wrong: random circuits, a nonsense target, random "
        "weights and a random trigger must each fail to find anything.",
        key=kept("controls", usual.controls),
    )
    return replace(
        running, behaviour=data.reference, steps=int(steps), seed=int(seed), controls=controls
    )


def start_work(config: DiscoveryConfig, data: ChosenData) -> None:
    """The button that finds the circuit; where it was found before, its run is opened."""
    saved = services.saved_run_of(config)
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            "Open the circuit" if saved else "Find the circuit",
            type="primary",
            icon=":material/folder_open:" if saved else ":material/travel_explore:",
            key="find_circuit",
        )
        st.caption(
            "This exact search was carried out before."
            if saved
            else "You watch it on the page Discover; half a minute for a small model."
        )
    if not pressed:
        return
    if saved:
        state.select_run(saved)
        st.switch_page("pages/overview.py")
    active = services.active_job_of(config)
    if active:
        watch(active)
        st.switch_page("pages/discover.py")
    try:
        data.save()
    except (CircuitvizError, OSError) as failure:
        error(f"The data cannot be saved: {failure}")
        return
    start_discovery(config)
