"""The circuit as maps, as tables of units and as a graph of paths."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.evaluation.rate import Rate
from circuitviz.inspection.path_graph import MAX_UNITS
from circuitviz.narrative import story
from circuitviz.narrative.numbers import (
    count,
    evidence,
    kinds_in,
    make_up,
    percent,
    ranges,
    sparsity,
)
from circuitviz.narrative.phrases import phrases
from circuitviz.plots.catalogue import Chart, head_chart, neuron_chart, score_note
from circuitviz.plots.circuit_graph import circuit_graph, edge_frame, graph_story, node_frame
from circuitviz.plots.maps import MapOptions, bins_for, neuron_strip, thinned
from circuitviz.runs.store import Run
from circuitviz.tables import frame
from circuitviz.ui import state
from circuitviz.ui.elements.components import (
    Card,
    cards,
    draw_chart,
    last_error,
    selectable_table,
)
from circuitviz.ui.elements.fetch_button import refusing
from circuitviz.ui.elements.keys import listing_key, picker
from circuitviz.ui.elements.words import how_to_read, statement
from circuitviz.ui.live import live_model, live_questions
from circuitviz.ui.view_state import ViewState
from circuitviz.units import Circuit, Unit, UnitKind

# ASR with only a unit off and intact, recovery, and where they come from.
Alone = tuple[Rate, Rate, Rate | None, str]

LAYER, ANY_UNIT, PROBLEM = "strip_layer", "drill_any_unit", "drill_unit_problem"
_NEURON_BINS = 128
# Characters of a list of layers in the page's answer.
MAX_LIST_LENGTH = 24
_KINDS = {"All": None, "Heads": "head", "Neurons": "neuron"}


def circuit_answer(circuit: Circuit) -> str:
    """How many units, of which kinds and where."""
    if not len(circuit):
        return "Nothing is knocked out"
    kinds = story.parts(*kinds_in(circuit))
    return f"{kinds[0].upper()}{kinds[1:]}, in {where(circuit)}"


def where(circuit: Circuit) -> str:
    """The layers of its units; how many they are, where their numbers would be a long list."""
    layers = sorted({unit.layer for unit in circuit.units})
    named = ranges(layers)
    if len(named) > MAX_LIST_LENGTH:
        return f"{len(layers)} of {circuit.space.n_layers} layers"
    return f"{'layer' if len(layers) == 1 else 'layers'} {named}"


def circuit_lead(run: Run, circuit: Circuit) -> str:
    """How small that is."""
    if not len(circuit):
        return "Every head and neuron works as trained. Select one below to knock it out."
    made = make_up(circuit)
    share = sparsity(circuit.sparsity)
    return f"{made[0].upper()}{made[1:]}; of all {len(run.space):,} units {share}."


def selected_unit(run: Run, choice: ViewState) -> Unit:
    """The unit the panel shows: the one chosen, else the highest-ranked."""
    if choice.unit:
        return Unit.parse(choice.unit)
    return run.space.unit(int(run.ranking[0]))


def marks(run: Run, choice: ViewState, selected: Unit, kind: UnitKind) -> MapOptions:
    """What is marked on the map of one kind of units; both maps share one scale."""
    added, removed = (
        frame.units_of(map(Unit.parse, sorted(names)), kind)
        for names in (choice.added, choice.removed)
    )
    return MapOptions(
        added=added,
        removed=removed,
        selected=(selected.layer, selected.index) if selected.kind == kind else None,
        score_range=(float(run.scores.min()), float(run.scores.max())),
    )


def circuit_maps(run: Run, choice: ViewState, selected: Unit) -> tuple[Chart, Chart]:
    """Every head by layer, and every neuron by layer, neighbours in one bin."""
    circuit = choice.circuit(run)
    heads = head_chart(
        run,
        circuit,
        marks(run, choice, selected, "head"),
        lead="Framed heads are knocked out. Click one to see what it does.",
        alt="Layer by head heatmap of scores; heads of the circuit framed.",
        most=frame.UNIT_ROWS,
    )
    bins = min(bins_for(run.space.n_layers, _NEURON_BINS), run.space.d_mlp)
    neurons = neuron_chart(
        run,
        circuit,
        marks(run, choice, selected, "neuron"),
        bins=_NEURON_BINS,
        caption=f"Best score in each of {bins} bins of neighbouring neurons a layer. "
        f"Click a bin to pick its best neuron. {score_note(run)}",
        alt="Layer by neuron bin heatmap of scores; bins with neurons of the circuit marked.",
        twin=frame.unit_frame(run, circuit, "neuron", most=frame.UNIT_ROWS),
    )
    return heads, neurons


def draw_maps(heads: Chart, neurons: Chart) -> None:
    """The maps; a click selects a head, or the best neuron of a bin."""
    st.header("Attention heads", anchor=False)
    draw_chart(heads, key="heads", on_point=partial(_choose, "head"))
    st.header("Neurons", anchor=False)
    draw_chart(neurons, key="neurons", on_point=partial(_choose, "neuron"))


def _choose(kind: UnitKind, data: list[Any]) -> None:
    layer, index, *_ = map(int, data)
    state.choose(unit=str(Unit(kind, layer, index)))


def layer_strip(run: Run, choice: ViewState, selected: Unit) -> None:
    """Each neuron of the selected unit's layer, or of another; a click selects one."""
    circuit = choice.circuit(run)
    _, neurons = run.space.split(run.scores)
    st.header("One layer's neurons in full", anchor=False)
    layer = _layer_control(run, selected)
    inside = [unit.index for unit in circuit.neurons if unit.layer == layer]
    here = selected.kind == "neuron" and selected.layer == layer
    shown = f"All {count(run.space.d_mlp, 'neuron')}"
    if thinned(run.space.d_mlp):
        shown = f"The best of the {count(run.space.d_mlp, 'neuron')}, and every few of the others,"
    strip = Chart(
        neuron_strip(neurons[layer], layer, inside, selected=selected.index if here else None),
        caption=f"{shown} of layer {layer}, {len(inside):,} knocked out. Click one to select it. "
        f"{score_note(run)}",
        alt=f"Score of each neuron of layer {layer}; those of the circuit are diamonds.",
        twin=frame.layer_frame(run, circuit, layer),
        reading="Each point is one neuron of this layer: its number across, its score upwards. A "
        "circuit that is clear cut stands well above the others; a crowd just below its lowest "
        "diamond says that the cut could be elsewhere. Scores rank units of one run only.",
    )
    draw_chart(strip, key="strip", on_point=partial(_choose, "neuron"))


def _layer_control(run: Run, selected: Unit) -> int:
    """Which layer the strip shows: the selected unit's, until another is chosen by hand."""
    layers, layer = list(range(run.space.n_layers)), selected.layer
    # Of each unit its own: another unit is seen in its layer.
    key = listing_key(LAYER, [run.run_id, str(selected)])
    with st.container(key=LAYER):
        if len(layers) <= 8:
            return int(st.segmented_control("Layer", layers, default=layer, key=key, required=True))
        return int(st.select_slider("Layer", layers, layer, key=key))


def control_note(run: Run, choice: ViewState) -> None:
    """What the controls of the reported circuit came to, while it is what is knocked out."""
    line = story.control_line(run)
    reported = choice.circuit(run) == run.circuit()
    if line and reported and choice.ablation_of(run) == run.config.ablation:
        st.caption(line)


def unit_panel(run: Run, choice: ViewState, unit: Unit) -> Callable[[], None]:
    """Score, rank and own effect of one unit, and the switch that adds or removes it.

    Returns:
        What measures the effect where the run has not saved it: to be called last, since it takes
        a large model a while.
    """
    circuit = choice.circuit(run)
    flat = run.space.flat(unit)
    rank = int((run.ranking == flat).argmax()) + 1
    inside = unit in circuit
    with st.container(border=True, key="unit_panel"):
        _unit_picker(run, listed(run, circuit, unit), unit)
        kind = "Attention head" if unit.kind == "head" else "Neuron"
        st.subheader(f"{kind} {unit}", anchor=False)
        st.caption(
            f"Layer {unit.layer}, {unit.kind} {unit.index}. "
            + ("In the knocked-out circuit." if inside else "Not in the knocked-out circuit.")
        )
        cards(
            [
                Card("Score", f"{run.scores[flat]:.2f}", "learned; higher is more responsible"),
                Card("Rank", f"{rank:,}", f"of {len(run.space):,} units, 1 is the first to go"),
            ]
        )
        place = st.container(key="unit_effect")
        saved = _saved_alone(run, choice, unit)
        if saved:
            with place:
                _own_effect(run, choice, saved)
        st.button(
            f"Remove {unit} from the circuit" if inside else f"Add {unit} to the circuit",
            icon=":material/remove:" if inside else ":material/add:",
            type="primary",
            key="toggle_unit",
            width="stretch",
            on_click=state.toggle_unit,
            args=(run, unit),
        )

    def measure() -> None:
        if not saved:
            with place:
                # Streamlit would leave the last unit's numbers there, under this one's name.
                st.empty()
                _measured_effect(run, choice, unit)

    return measure


def _unit_picker(run: Run, circuit: Circuit, selected: Unit) -> None:
    """A list of the circuit's units, and a field for any other."""
    names = [str(unit) for unit in circuit]
    titles = {str(unit): f"{unit}, {unit.kind}" for unit in circuit}
    if selected not in circuit:
        names.insert(0, str(selected))
        titles = {str(selected): f"{selected}, {selected.kind} (not in the circuit)"} | titles
    with st.container(horizontal=True, vertical_alignment="bottom", key="unit_picker"):
        picker(
            "Unit of the circuit",
            titles,
            str(selected),
            lambda name: state.choose(unit=name),
            key=listing_key("drill_unit", [run.run_id, *names]),
        )
        st.text_input(
            "Or any unit",
            key=ANY_UNIT,
            placeholder="L3H2",
            on_change=_take_name,
            args=(run,),
            help=f"A head such as L{run.space.n_layers - 1}H0 or a neuron such as L0N17.",
        )
    last_error(PROBLEM)


def _take_name(run: Run) -> None:
    words = st.session_state[ANY_UNIT].strip().upper()
    if not words:
        return
    try:
        unit = Unit.parse(words)
        run.space.flat(unit)
    except CircuitvizError as failure:
        st.session_state[PROBLEM] = f"{str(failure)[0].upper()}{str(failure)[1:]}."
        return
    st.session_state[ANY_UNIT] = ""
    state.choose(unit=str(unit))


def _own_effect(run: Run, choice: ViewState, effect: Alone) -> None:
    alone, intact, recovery, source = effect
    # Rates on other prompts, or of another judge, are no change from one to the other.
    alike = intact.judge == alone.judge
    before = percent(intact.rate) if alike and intact.n == alone.n else None
    whole = "" if alike else f" ({intact.judge})"
    cards(
        [
            Card(
                f"{story.asr_label(run)} with only this unit off",
                percent(alone.rate),
                f"{evidence(alone)} \u00b7 judge: {alone.judge} \u00b7 intact {intact.k:,} of "
                f"{intact.n:,}{whole} \u00b7 {choice.ablation_of(run)} ablation, {source}",
                before,
            ),
            *_recovery_card(run, recovery),
        ]
    )


def listed(run: Run, circuit: Circuit, unit: Unit) -> Circuit:
    """The circuit's best units, as many as a list can hold, and the one selected."""
    best = frame.best_part(run, circuit, frame.UNIT_ROWS)
    return Circuit(run.space, best.units | ({unit} & circuit.units))


def _saved_alone(run: Run, choice: ViewState, unit: Unit) -> Alone | None:
    """What the run has saved of a unit."""
    same = choice.ablation_of(run) == run.config.ablation
    saved = frame.unit_effect(run, unit) if same else None
    if not saved:
        return None
    recovery = frame.unit_recovery(run, unit)
    return saved, run.metrics.asr.intact, recovery, "saved with the run"


@refusing("Cannot measure this unit", "unit")
def _measured_effect(run: Run, choice: ViewState, unit: Unit) -> None:
    with st.spinner("Measuring this unit alone\u2026"):
        off = live_model.effect(run, Circuit.of(run.space, [unit]), ablation=choice.ablation)
        # The same prompts, so that the two compare.
        intact = live_model.effect(run, Circuit(run.space, frozenset()))
    _own_effect(run, choice, (off.asr, intact.asr, off.recovery, "measured now"))


def _recovery_card(run: Run, recovery: Rate | None) -> list[Card]:
    # An attack can fail because its words are spoiled; only this tells the two apart.
    if recovery is None or run.metrics.is_refusal:
        return []
    return [
        Card(
            "Right answer again with only this unit off",
            percent(recovery.rate),
            f"{evidence(recovery)} · judge: {recovery.judge}",
        )
    ]


def circuit_unit_table(run: Run, circuit: Circuit) -> None:
    """The table twin of the maps: select a row to show its unit."""
    kind = st.segmented_control("Show", list(_KINDS), default="All", key="unit_kind", required=True)
    units = frame.unit_frame(run, circuit, _KINDS[str(kind)], most=frame.UNIT_ROWS)
    units["in_circuit"] = ["\u25c6 in" if inside else "" for inside in units["in_circuit"]]
    selectable_table(
        units,
        lambda row: state.choose(unit=str(units.iloc[row]["unit"])),
        # A row is selected by its number, which is another unit's in another list.
        key=listing_key("unit_table", [run.run_id, *units["unit"]]),
        height=330,
        column_order=["rank", "unit", "in_circuit", "score", "asr_alone", "n_alone", "layer"],
        column_config={
            "in_circuit": "circuit",
            "score": st.column_config.NumberColumn(format="%.3f"),
            "asr_alone": st.column_config.NumberColumn(
                "ASR, only this off", format="percent", help="Where the run measured it."
            ),
            "n_alone": st.column_config.NumberColumn("of n prompts"),
        },
    )
    st.caption(
        f"The highest-ranked units and every unit of the circuit. Select a row to see it above. "
        f"ASR on test prompts, judge: {frame.frontier_judge(run, 'asr')}, "
        f"{run.config.ablation} ablation."
    )


@refusing("Cannot measure the paths", "graph")
def graph_section(run: Run, choice: ViewState, selected: Unit) -> None:
    """The graph of the set that is knocked out, or of its best units where there are many."""
    whole = choice.circuit(run)
    if not len(whole):
        st.info("Nothing is knocked out: there is no graph.", icon=":material/account_tree:")
        return
    circuit = frame.best_part(run, whole, MAX_UNITS)
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
