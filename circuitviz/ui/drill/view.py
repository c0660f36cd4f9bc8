"""Drill-down: what one unit looks at, writes and does, on a prompt of one's choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from circuitviz.models.source import unfetched_model
from circuitviz.narrative.phrases import phrases
from circuitviz.runs.store import Run
from circuitviz.ui import services, state
from circuitviz.ui.drill.effects import effect_rows, unit_ranks
from circuitviz.ui.drill.inside import (
    what_activates_it,
    what_it_writes,
    when_it_is_active,
    where_it_looks,
)
from circuitviz.ui.elements.fetch_button import fetch_button, refusing
from circuitviz.ui.elements.keys import listing_key, picker
from circuitviz.ui.elements.redaction import PromptRedactor, covers, uncover_toggle
from circuitviz.ui.live import live_questions
from circuitviz.ui.view_state import ViewState
from circuitviz.units import Unit

_ASKED = "drill_asked"


def asked_to_look(run: Run) -> bool:
    """Whether a model may be loaded to look inside: at once if it is small, else when asked to.

    Shows the button that asks, or the one that fetches weights that are missing.
    """
    missing = unfetched_model(run.config.model, run.config.adapter)
    if missing is not None:
        fetch_button(missing, "drill")
        return False
    small = {card.name for card in services.model_cards() if card.base is None}
    if run.config.model in small or st.session_state.get(_ASKED) == run.config.model:
        return True
    st.caption(
        "Looking inside needs the model itself, which takes its memory and a moment to load."
    )
    st.button(
        "Load the model and look inside",
        icon=":material/biotech:",
        key="drill_load",
        on_click=lambda: st.session_state.update({_ASKED: run.config.model}),
    )
    return False


@st.fragment
@refusing("Cannot look inside", "drill")
def drill_down(run: Run, unit: Unit) -> None:
    """Everything about one unit, a tab for each question.

    Another tab or prompt draws nothing else again.
    """
    choice = state.fitted(run)
    prompts, harmful = live_questions.prompts(run), live_questions.harmful(run)
    shown = uncover_toggle(run) if covers(run) else not harmful
    redactor = PromptRedactor.of(run, harmful, shown=shown)
    prompt = _prompt_picker(run, choice, prompts, redactor)
    tabs: dict[str, Callable[[], None]]
    if unit.kind == "head":
        tabs = {"Where it looks": lambda: where_it_looks(run, prompt, unit, redactor)}
    else:
        tabs = {
            "When it is active": lambda: when_it_is_active(run, prompt, unit, redactor),
            "What activates it most": lambda: what_activates_it(run, unit, redactor),
        }
    tabs |= {
        "What it writes": lambda: what_it_writes(run, prompt, unit),
        "Alone and together": lambda: effect_rows(run, choice, unit),
        "In other runs": lambda: unit_ranks(run, unit),
    }
    places = st.tabs(list(tabs), key=f"drill_tabs_{unit.kind}", on_change="rerun")
    for place, draw in zip(places, tabs.values(), strict=True):
        # The others are computed when they are opened.
        if place.open:
            with place:
                refusing("Cannot look inside", "drill_tab")(draw)()


def _prompt_picker(
    run: Run, choice: ViewState, prompts: Mapping[str, str], redactor: PromptRedactor
) -> str:
    """The test prompt that is looked at; the same one as on the page Generations."""
    labels = {name: redactor.label(name, text) for name, text in prompts.items()}
    chosen = choice.prompt if choice.prompt in prompts else redactor.first(prompts)
    picker(
        f"Test prompt, {phrases(run).pair_picker}",
        labels,
        chosen,
        lambda name: state.choose(prompt=name),
        key=listing_key("drill_prompt", [run.run_id, *labels.values()]),
    )
    return str(chosen)
