"""Which heads and neurons are they?"""

import streamlit as st

from circuitviz.plots import frame
from circuitviz.plots.head_heatmap import head_heatmap
from circuitviz.plots.neuron_heatmap import neuron_heatmap
from circuitviz.plots.neuron_strip import neuron_strip
from circuitviz.plots.readings import READINGS
from circuitviz.plots.text import count
from circuitviz.ui import circuit_view as view
from circuitviz.ui import shell
from circuitviz.ui.components import chart, page_header, score_note, split
from circuitviz.ui.drill_view import asked_to_look, drill_down
from circuitviz.ui.graph_view import graph_heading, graph_section

QUESTION = "Which heads and neurons are they, and what does each one do?"
BINS = 128

run, choice = shell.current_run(QUESTION)
circuit = choice.circuit(run)
page_header(QUESTION, view.answer(circuit), view.lead(run, circuit))
view.control_note(run, choice)

heads, neurons = run.space.split(run.scores)
span = (float(run.scores.min()), float(run.scores.max()))
selected = view.selected_unit(run, choice)
cell = (selected.layer, selected.index)
is_head = selected.kind == "head"

maps, panel = split("circuit", (3, 2))
with maps:
    st.header("Attention heads", anchor=False)
    chart(
        head_heatmap(
            heads,
            frame.units_of(circuit, "head"),
            added=view.added(choice, "head"),
            removed=view.removed(choice, "head"),
            selected=cell if is_head else None,
            score_range=span,
        ),
        key="heads",
        reading=READINGS["head_map"],
        twin=frame.unit_frame(run, circuit, "head"),
        caption=f"Framed heads are knocked out. Click one to see what it does. {score_note(run)}",
        alt="Layer by head heatmap of scores; heads of the circuit framed.",
        on_point=view.choose_head,
    )
    st.header("Neurons", anchor=False)
    best, best_neuron = frame.bin_neurons(neurons, BINS)
    chart(
        neuron_heatmap(
            best,
            best_neuron,
            run.space.d_mlp,
            frame.units_of(circuit, "neuron"),
            added=view.added(choice, "neuron"),
            removed=view.removed(choice, "neuron"),
            selected=None if is_head else cell,
            score_range=span,
        ),
        key="neurons",
        reading=READINGS["neuron_map"],
        twin=frame.unit_frame(run, circuit, "neuron"),
        caption=f"Best score in each of {best.shape[1]} bins of neighbouring neurons a layer. "
        f"Click a bin to pick its best neuron. {score_note(run)}",
        alt="Layer by neuron bin heatmap of scores; bins with neurons of the circuit marked.",
        on_point=view.choose_neuron,
    )
with panel:
    view.unit_panel(run, choice, selected)

# Looking inside takes a moment: it has its place here, and its turn when the rest is there.
drill, graph = st.container(key="drill"), st.container(key="paths")

st.header("One layer's neurons in full", anchor=False)
layer = view.layer_control(run, selected)
inside = [unit.index for unit in circuit.neurons if unit.layer == layer]
chart(
    neuron_strip(
        neurons[layer],
        layer,
        inside,
        selected=None if is_head or selected.layer != layer else selected.index,
    ),
    key="strip",
    reading=READINGS["neuron_strip"],
    caption=f"All {count(run.space.d_mlp, 'neuron')} of layer {layer}, {len(inside)} of them "
    f"knocked out. Click one to select it. {score_note(run)}",
    alt=f"Score of each neuron of layer {layer}; those of the circuit are diamonds.",
    twin=frame.layer_frame(run, circuit, layer),
    on_point=view.choose_neuron,
)
st.header("All ranked units", anchor=False)
view.unit_table(run, circuit)

with drill:
    st.subheader(f"Inside {selected}", anchor=False)
    looking = asked_to_look(run)
    if looking:
        drill_down(run, choice, selected)
with graph:
    st.subheader(graph_heading(run), anchor=False)
    if looking:
        graph_section(run, choice, selected)
