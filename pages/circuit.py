"""Which heads and neurons are they?"""

import streamlit as st

from circuitviz.narrative.phrases import phrases
from circuitviz.runs.store import Run
from circuitviz.ui import shell
from circuitviz.ui.drill.view import asked_to_look, drill_down
from circuitviz.ui.elements.components import page_header, split
from circuitviz.ui.view_state import ViewState
from circuitviz.ui.views import circuit_view as view
from circuitviz.ui.views.circuit_view import graph_section

QUESTION = "Which heads and neurons are they, and what does each one do?"


@st.fragment
def units(run: Run, drawn: ViewState) -> None:
    """Maps, panel and drill-down: choosing a unit draws only these again.

    They are drawn in the order in which they are waited for, each in its place.
    """
    choice = shell.rerun_if_set_changed(run, drawn)
    selected = view.selected_unit(run, choice)
    left, right = split("circuit", (3, 2))
    with right:
        measure = view.unit_panel(run, choice, selected)
    maps = view.circuit_maps(run, choice, selected)
    with left:
        view.draw_maps(*maps)
    drill, graph, rest = (st.container(key=key) for key in ("drill", "paths", "all_units"))
    with rest:
        view.layer_strip(run, choice, selected)
        st.header("All ranked units", anchor=False)
        view.circuit_unit_table(run, choice.circuit(run))
    measure()
    with drill:
        st.subheader(f"Inside {selected}", anchor=False)
        looking = asked_to_look(run)
        if looking:
            drill_down(run, selected)
    with graph:
        st.subheader(phrases(run).graph, anchor=False)
        if looking:
            graph_section(run, choice, selected)


run, choice = shell.current_run(QUESTION)
circuit = choice.circuit(run)
page_header(QUESTION, view.circuit_answer(circuit), view.circuit_lead(run, circuit))
view.control_note(run, choice)
units(run, choice)
