"""The maps of the page Circuit: heads, neurons, and one layer's neurons in full."""

from __future__ import annotations

import streamlit as st

from circuitviz.plots import frame
from circuitviz.plots.catalogue import Chart, head_chart, neuron_chart, score_note
from circuitviz.plots.maps import Cell, MapOptions, bins_for, neuron_strip, thinned
from circuitviz.plots.text import count
from circuitviz.runs.store import Run
from circuitviz.ui.choice import Choice
from circuitviz.ui.elements.components import Draw, draw_chart
from circuitviz.ui.views import circuit_view as view
from circuitviz.units import Unit, UnitKind

BINS = 128


def head_map(run: Run, choice: Choice, selected: Unit) -> Draw:
    """Every head by layer; a click selects one."""
    heads = head_chart(
        run,
        choice.circuit(run),
        _options(run, choice, selected, "head"),
        lead="Framed heads are knocked out. Click one to see what it does.",
        alt="Layer by head heatmap of scores; heads of the circuit framed.",
        most=frame.UNIT_ROWS,
    )

    def draw() -> None:
        st.header("Attention heads", anchor=False)
        draw_chart(heads, key="heads", on_point=view.choose_head)

    return draw


def neuron_map(run: Run, choice: Choice, selected: Unit) -> Draw:
    """Every neuron by layer, neighbours in one bin; a click selects the best one of a bin."""
    circuit = choice.circuit(run)
    bins = min(bins_for(run.space.n_layers, BINS), run.space.d_mlp)
    neurons = neuron_chart(
        run,
        circuit,
        _options(run, choice, selected, "neuron"),
        bins=BINS,
        caption=f"Best score in each of {bins} bins of neighbouring neurons a layer. "
        f"Click a bin to pick its best neuron. {score_note(run)}",
        alt="Layer by neuron bin heatmap of scores; bins with neurons of the circuit marked.",
        twin=frame.unit_frame(run, circuit, "neuron", most=frame.UNIT_ROWS),
    )

    def draw() -> None:
        st.header("Neurons", anchor=False)
        draw_chart(neurons, key="neurons", on_point=view.choose_neuron)

    return draw


def layer_strip(run: Run, choice: Choice, selected: Unit) -> None:
    """Each neuron of the selected unit's layer, or of another; a click selects one."""
    circuit = choice.circuit(run)
    _, neurons = run.space.split(run.scores)
    st.header("One layer's neurons in full", anchor=False)
    layer = view.layer_control(run, selected)
    inside = [unit.index for unit in circuit.units if unit.kind == "neuron" and unit.layer == layer]
    cell = _cell(selected, "neuron")
    strip = Chart(
        neuron_strip(
            neurons[layer], layer, inside, selected=cell[1] if cell and cell[0] == layer else None
        ),
        f"{_shown(run)} of layer {layer}, {len(inside):,} knocked out. Click one to select it. "
        f"{score_note(run)}",
        f"Score of each neuron of layer {layer}; those of the circuit are diamonds.",
        frame.layer_frame(run, circuit, layer),
        "Each point is one neuron of this layer: its number across, its score upwards. A circuit "
        "that is clear cut stands well above the others; a crowd just below its lowest diamond "
        "says that the cut could be elsewhere. Scores rank units of one run only.",
    )
    draw_chart(strip, key="strip", on_point=view.choose_neuron)


def _shown(run: Run) -> str:
    """How many neurons of a layer the strip draws."""
    neurons = count(run.space.d_mlp, "neuron")
    if not thinned(run.space.d_mlp):
        return f"All {neurons}"
    return f"The best of the {neurons}, and every few of the others,"


def _cell(selected: Unit, kind: UnitKind) -> Cell | None:
    return (selected.layer, selected.index) if selected.kind == kind else None


def _options(run: Run, choice: Choice, selected: Unit, kind: UnitKind) -> MapOptions:
    """Marks of one kind; both maps share one scale."""
    return MapOptions(
        added=view.added(choice, kind),
        removed=view.removed(choice, kind),
        selected=_cell(selected, kind),
        score_range=(float(run.scores.min()), float(run.scores.max())),
    )
