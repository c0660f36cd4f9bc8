"""Choosing a unit without a mouse: from the circuit's units, or by its name."""

from __future__ import annotations

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.runs.store import Run
from circuitviz.ui import state
from circuitviz.ui.elements.components import error
from circuitviz.ui.elements.keys import listing_key, when_changed
from circuitviz.units import Circuit, Unit

PICKER, NAME, PROBLEM = "drill_unit", "drill_any_unit", "drill_unit_problem"


def unit_picker(run: Run, circuit: Circuit, selected: Unit) -> None:
    """A list of the circuit's units, and a field for any other."""
    names = [str(unit) for unit in circuit]
    if selected not in circuit:
        names.insert(0, str(selected))
    key = listing_key(PICKER, [run.run_id, *names])
    st.session_state[key] = str(selected)
    with st.container(horizontal=True, vertical_alignment="bottom", key="unit_picker"):
        st.selectbox(
            "Unit of the circuit",
            names,
            key=key,
            format_func=lambda name: _titled(name, circuit),
            on_change=when_changed(key, lambda name: state.choose(unit=name)),
        )
        st.text_input(
            "Or any unit",
            key=NAME,
            placeholder="L3H2",
            on_change=_named,
            args=(run,),
            help=f"A head such as L{run.space.n_layers - 1}H0 or a neuron such as L0N17.",
        )
    problem = st.session_state.pop(PROBLEM, None)
    if problem:
        error(problem)


def _titled(name: str, circuit: Circuit) -> str:
    unit = Unit.parse(name)
    kind = "head" if unit.kind == "head" else "neuron"
    return f"{name}, {kind}" if unit in circuit else f"{name}, {kind} (not in the circuit)"


def _named(run: Run) -> None:
    words = st.session_state[NAME].strip().upper()
    if not words:
        return
    try:
        unit = Unit.parse(words)
        run.space.flat(unit)
    except CircuitvizError as failure:
        st.session_state[PROBLEM] = f"{str(failure)[0].upper()}{str(failure)[1:]}."
        return
    st.session_state[NAME] = ""
    state.choose(unit=str(unit))
