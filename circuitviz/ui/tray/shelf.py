"""Sets of units that were given a name: save, list, load, delete."""

from __future__ import annotations

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.plots.text import count
from circuitviz.runs.store import Run
from circuitviz.runs.unit_sets import LONGEST_NAME, UnitSet
from circuitviz.ui import services, state
from circuitviz.ui.choice import Choice
from circuitviz.ui.elements.components import error
from circuitviz.ui.elements.listing import listing_key
from circuitviz.ui.elements.literal import literal_code

__all__ = ["set_shelf"]

NAME, SHELF, PROBLEM = "tray_set_name", "tray_shelf", "tray_set_problem"


def set_shelf(run: Run, choice: Choice) -> None:
    """What is knocked out under a name of its own, and the names there are."""
    saved = services.unit_sets().sets(run.run_id)
    label = f"Saved sets ({len(saved)})" if saved else "Save this set"
    with st.expander(label, icon=":material/bookmark:", key="tray_sets"):
        st.text_input(
            "Name", key=NAME, max_chars=LONGEST_NAME, placeholder="without the early head"
        )
        st.button(
            f"Save the {count(len(choice.circuit(run)), 'unit')} knocked out now",
            icon=":material/save:",
            key="tray_save",
            width="stretch",
            on_click=_save,
            args=(run,),
        )
        problem = st.session_state.pop(PROBLEM, None)
        if problem:
            error(problem)
        if saved:
            _listed(run, choice, saved)
        else:
            st.caption(
                "A saved set is listed here again, also after a restart. It is written to "
                f"{literal_code(str(services.unit_sets().folder))}, beside your runs."
            )


def _listed(run: Run, choice: Choice, saved: list[UnitSet]) -> None:
    names = [one.name for one in saved]
    sizes = {one.name: f"{one.name} ({len(one.units):,}, {one.ablation})" for one in saved}
    key = listing_key(SHELF, [run.run_id, *sizes.values()])
    if choice.saved in names:
        st.session_state.setdefault(key, choice.saved)
    st.selectbox("Saved for this run", names, key=key, format_func=sizes.__getitem__)
    with st.container(horizontal=True):
        # Of each list its own: a second click on a button does nothing to the next list.
        for label, icon, act in (("Load", "upload", _load), ("Delete", "delete", _delete)):
            st.button(
                label,
                icon=f":material/{icon}:",
                key=f"{label.lower()}_{key}",
                on_click=act,
                args=(run, key),
            )


def _save(run: Run) -> None:
    choice = state.choice()
    units = [str(unit) for unit in choice.circuit(run)]
    try:
        saved = services.unit_sets().save(
            run.run_id, st.session_state[NAME], units, choice.ablation_of(run)
        )
    except CircuitvizError as failure:
        st.session_state[PROBLEM] = str(failure)
        return
    st.session_state[NAME] = ""
    _take(run, saved)


def _load(run: Run, key: str) -> None:
    """Load the set that is chosen in the list of that key when the button is pressed."""
    try:
        _take(run, services.unit_sets().load(run.run_id, st.session_state[key]))
    except CircuitvizError as failure:
        st.session_state[PROBLEM] = str(failure)


def _delete(run: Run, key: str) -> None:
    name = st.session_state[key]
    try:
        services.unit_sets().delete(run.run_id, name)
    except OSError as failure:
        reason = failure.strerror or failure
        st.session_state[PROBLEM] = f"cannot delete the set {name!r}: {reason}"
        return
    if state.choice().saved == name:
        state.choose(saved=None)


def _take(run: Run, saved: UnitSet) -> None:
    state.change_set(
        Choice(
            listed=saved.units,
            saved=saved.name,
            ablation=None if saved.ablation == run.config.ablation else saved.ablation,
        )
    )
