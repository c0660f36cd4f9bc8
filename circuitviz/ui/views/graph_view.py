"""How the trigger becomes the behaviour: the circuit as a graph."""

from __future__ import annotations

import streamlit as st

from circuitviz.inspection.path_graph import MOST_UNITS
from circuitviz.narrative.phrases import phrases
from circuitviz.plots.catalogue import Chart
from circuitviz.plots.circuit_graph import circuit_graph, edge_frame, graph_story, node_frame
from circuitviz.runs.store import Run
from circuitviz.tables import frame
from circuitviz.ui import state
from circuitviz.ui.elements.components import draw_chart
from circuitviz.ui.elements.fetch_button import refusing
from circuitviz.ui.elements.words import how_to_read, statement
from circuitviz.ui.live import live_questions
from circuitviz.ui.view_state import ViewState
from circuitviz.units import Unit


@refusing("Cannot measure the paths", "graph")
def graph_section(run: Run, choice: ViewState, selected: Unit) -> None:
    """The graph of the set that is knocked out, or of its best units where there are many."""
    whole = choice.circuit(run)
    if not len(whole):
        st.info("Nothing is knocked out: there is no graph.", icon=":material/account_tree:")
        return
    circuit = frame.best_part(run, whole, MOST_UNITS)
    if len(circuit) < len(whole):
        st.caption(
            f"Of the {len(whole):,} units that are off, the {len(circuit)} that rank highest: a "
            "graph of more cannot be read. The sentence and the numbers are about these alone."
        )
    with st.spinner("Measuring the paths among these units\u2026"):
        graph = live_questions.graph(run, circuit, choice.ablation)
    sentence = graph_story(graph)
    edges = edge_frame(graph)
    statement(sentence)
    answer = f"\u201c{graph.target[0]}\u201d" if graph.target[0] else "the behaviour"
    paths = Chart(
        circuit_graph(node_frame(graph), edges, answer=answer, selected=str(selected)),
        caption="Path effects in nats of log-odds of the behaviour's token over the one expected "
        f"without it; means \u00b1 standard errors over {graph.prompts} of {graph.tried} "
        f"{phrases(run).attack} test prompts tried, those on which the behaviour shows, "
        f"{graph.ablation} ablation. Edges below 4 % of the strongest are not drawn. Click a unit "
        "to look inside it.",
        alt=f"{sentence} Units stand by layer, the prompt's tokens left of them, the answer right.",
        twin=edges,
    )
    draw_chart(
        paths,
        key="graph",
        on_point=lambda data: state.choose(unit=str(data[0])),
        columns={
            "effect": st.column_config.NumberColumn("effect, nats", format="%+.3f"),
            "error": st.column_config.NumberColumn("standard error", format="%.3f"),
        },
    )
    how_to_read(
        "An edge says how much of the answer is lost if only the receiver is told what the "
        "sender's absence would do to it, all other units of the circuit held as they are (path "
        "patching). An edge into the answer is what a unit does by no other unit of the circuit; "
        "heads and neurons outside the circuit may carry it. The wider, the more; dotted edges "
        "work against the behaviour. A token is taken away by blanking its embedding. 1 nat is a "
        "factor of 2.7 in the odds. The sentence names only what is larger than two standard "
        "errors. Effects do not add up exactly: units make up for each other.",
        key="graph",
    )
