"""Drill-down: what one unit looks at, writes and does, on a prompt of one's choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.models.source import unfetched_model
from circuitviz.runs.store import Run
from circuitviz.ui import services, state
from circuitviz.ui.choice import Choice
from circuitviz.ui.drill.cover import DrillCover
from circuitviz.ui.drill.effects import unit_effects, unit_ranks
from circuitviz.ui.drill.head import what_it_writes, where_it_looks
from circuitviz.ui.drill.neuron import what_activates_it, when_it_is_active
from circuitviz.ui.elements.cover import covers, uncover_toggle
from circuitviz.ui.elements.fetch_button import fetch_button, refused
from circuitviz.ui.elements.keys import listing_key, when_changed
from circuitviz.ui.live import live_inspection
from circuitviz.units import Unit

PROMPT, ASKED = "drill_prompt", "drill_asked"
# Draws one tab.
Tab = Callable[[], None]


def asked_to_look(run: Run) -> bool:
    """Whether a model may be loaded to look inside: at once if it is small, else when asked to.

    Shows the button that asks, or the one that fetches weights that are missing.
    """
    missing = unfetched_model(run.config.model, run.config.adapter)
    if missing is not None:
        fetch_button(missing, "drill")
        return False
    small = {card.name for card in services.model_cards() if card.base is None}
    if run.config.model in small or st.session_state.get(ASKED) == run.config.model:
        return True
    st.caption(
        "Looking inside needs the model itself, which takes its memory and a moment to load."
    )
    st.button(
        "Load the model and look inside",
        icon=":material/biotech:",
        key="drill_load",
        on_click=lambda: st.session_state.update({ASKED: run.config.model}),
    )
    return False


@st.fragment
def drill_down(run: Run, unit: Unit) -> None:
    """Everything about one unit, a tab for each question.

    Another tab or prompt draws nothing else again.
    """
    choice = state.fitted(run)
    try:
        prompts, harmful = live_inspection.prompts(run), live_inspection.harmful(run)
    except CircuitvizError as failure:
        refused(failure, "Cannot look inside", "drill")
        return
    shown = uncover_toggle(run) if covers(run) else not harmful
    cover = DrillCover.of(run, harmful, shown=shown)
    prompt = _prompt_picker(run, choice, prompts, cover)
    tabs: dict[str, Tab]
    if unit.kind == "head":
        tabs = {"Where it looks": lambda: where_it_looks(run, prompt, unit, cover)}
    else:
        tabs = {
            "When it is active": lambda: when_it_is_active(run, prompt, unit, cover),
            "What activates it most": lambda: what_activates_it(run, unit, cover),
        }
    tabs |= {
        "What it writes": lambda: what_it_writes(run, prompt, unit),
        "Alone and together": lambda: unit_effects(run, choice, unit),
        "In other runs": lambda: unit_ranks(run, unit),
    }
    _show(tabs, f"drill_tabs_{unit.kind}")


def _show(tabs: Mapping[str, Tab], key: str) -> None:
    """Draw the open tab alone: the others are computed when they are opened."""
    for place, draw in zip(
        st.tabs(list(tabs), key=key, on_change="rerun"), tabs.values(), strict=True
    ):
        with place:
            if place.open:
                try:
                    draw()
                except CircuitvizError as failure:
                    refused(failure, "Cannot look inside", "drill_tab")


def _prompt_picker(run: Run, choice: Choice, prompts: Mapping[str, str], cover: DrillCover) -> str:
    """The test prompt that is looked at; the same one as on the page Generations."""
    ids = list(prompts)
    labels = {name: cover.label(name, text) for name, text in prompts.items()}
    key = listing_key(PROMPT, [run.run_id, *labels.values()])
    chosen = choice.prompt if choice.prompt in prompts else cover.first(prompts)
    st.session_state[key] = chosen
    what = "harmful and a benign one like it" if run.metrics.is_refusal else "clean and triggered"
    st.selectbox(
        f"Test prompt, {what}",
        ids,
        key=key,
        format_func=labels.__getitem__,
        on_change=when_changed(key, lambda name: state.choose(prompt=name)),
    )
    return str(chosen)
