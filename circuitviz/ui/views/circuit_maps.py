"""The maps of the page Circuit: heads, neurons, and one layer's neurons in full."""

from __future__ import annotations

import streamlit as st

from circuitviz.plots import frame
from circuitviz.plots.maps import (
    Cell,
    bins_for,
    head_heatmap,
    neuron_heatmap,
    neuron_strip,
    thinned,
)
from circuitviz.plots.notes import READINGS, score_note
from circuitviz.plots.text import count
from circuitviz.runs.store import Run
from circuitviz.ui.choice import Choice
from circuitviz.ui.elements.components import Draw, built_chart, chart
from circuitviz.ui.views import circuit_view as view
from circuitviz.units import Unit, UnitKind

BINS = 128


def head_map(run: Run, choice: Choice, selected: Unit) -> Draw:
    """Every head by layer; a click selects one."""
    circuit = choice.circuit(run)
    heads, _ = run.space.split(run.scores)
    return built_chart(
        "Attention heads",
        head_heatmap(
            heads,
            frame.units_of(circuit, "head"),
            added=view.added(choice, "head"),
            removed=view.removed(choice, "head"),
            selected=_cell(selected, "head"),
            score_range=_span(run),
        ),
        key="heads",
        reading=READINGS["head_map"],
        twin=frame.unit_frame(run, circuit, "head", most=frame.UNIT_ROWS),
        caption=f"Framed heads are knocked out. Click one to see what it does. {score_note(run)}",
        alt="Layer by head heatmap of scores; heads of the circuit framed.",
        on_point=view.choose_head,
    )


def neuron_map(run: Run, choice: Choice, selected: Unit) -> Draw:
    """Every neuron by layer, neighbours in one bin; a click selects the best one of a bin."""
    circuit = choice.circuit(run)
    _, neurons = run.space.split(run.scores)
    best, best_neuron = frame.bin_neurons(neurons, bins_for(run.space.n_layers, BINS))
    return built_chart(
        "Neurons",
        neuron_heatmap(
            best,
            best_neuron,
            run.space.d_mlp,
            frame.units_of(circuit, "neuron"),
            added=view.added(choice, "neuron"),
            removed=view.removed(choice, "neuron"),
            selected=_cell(selected, "neuron"),
            score_range=_span(run),
        ),
        key="neurons",
        reading=READINGS["neuron_map"],
        twin=frame.unit_frame(run, circuit, "neuron", most=frame.UNIT_ROWS),
        caption=f"Best score in each of {best.shape[1]} bins of neighbouring neurons a layer. "
        f"Click a bin to pick its best neuron. {score_note(run)}",
        alt="Layer by neuron bin heatmap of scores; bins with neurons of the circuit marked.",
        on_point=view.choose_neuron,
    )


def layer_strip(run: Run, choice: Choice, selected: Unit) -> None:
    """Each neuron of the selected unit's layer, or of another; a click selects one."""
    circuit = choice.circuit(run)
    _, neurons = run.space.split(run.scores)
    st.header("One layer's neurons in full", anchor=False)
    layer = view.layer_control(run, selected)
    inside = [unit.index for unit in circuit.units if unit.kind == "neuron" and unit.layer == layer]
    cell = _cell(selected, "neuron")
    chart(
        neuron_strip(
            neurons[layer], layer, inside, selected=cell[1] if cell and cell[0] == layer else None
        ),
        key="strip",
        reading=READINGS["neuron_strip"],
        caption=f"{_shown(run)} of layer {layer}, {len(inside):,} knocked out. "
        f"Click one to select it. {score_note(run)}",
        alt=f"Score of each neuron of layer {layer}; those of the circuit are diamonds.",
        twin=frame.layer_frame(run, circuit, layer),
        on_point=view.choose_neuron,
    )


def _shown(run: Run) -> str:
    """How many neurons of a layer the strip draws."""
    neurons = count(run.space.d_mlp, "neuron")
    if not thinned(run.space.d_mlp):
        return f"All {neurons}"
    return f"The best of the {neurons}, and every few of the others,"


def _cell(selected: Unit, kind: UnitKind) -> Cell | None:
    return (selected.layer, selected.index) if selected.kind == kind else None


def _span(run: Run) -> tuple[float, float]:
    """Both maps share one scale."""
    return float(run.scores.min()), float(run.scores.max())
