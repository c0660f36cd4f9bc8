"""Pieces of the circuit page: the answer, the panel of one unit, the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.evaluation.rate import Rate
from circuitviz.plots import frame, story
from circuitviz.plots.maps import Cell
from circuitviz.plots.text import evidence, kinds_in, make_up, percent, ranges, sparsity
from circuitviz.runs.store import Run
from circuitviz.ui import state
from circuitviz.ui.choice import Choice
from circuitviz.ui.elements.components import Card, Draw, cards
from circuitviz.ui.elements.fetch_button import refused
from circuitviz.ui.elements.keys import listing_key, when_changed
from circuitviz.ui.elements.unit_picker import unit_picker
from circuitviz.ui.live import live_model
from circuitviz.units import Circuit, Unit

# ASR with only a unit off and intact, recovery, and where they come from.
Alone = tuple[Rate, Rate, Rate | None, str]

LAYER, TABLE, KIND = "strip_layer", "unit_table", "unit_kind"
# Characters of a list of layers in the page's answer.
LONGEST_LIST = 24
KINDS = {"All": None, "Heads": "head", "Neurons": "neuron"}


def answer(circuit: Circuit) -> str:
    """How many units, of which kinds and where."""
    if not len(circuit):
        return "Nothing is knocked out"
    kinds = story.parts(*kinds_in(circuit))
    return f"{kinds[0].upper()}{kinds[1:]}, in {where(circuit)}"


def where(circuit: Circuit) -> str:
    """The layers of its units; how many they are, where their numbers would be a long list."""
    layers = sorted({unit.layer for unit in circuit.units})
    named = ranges(layers)
    if len(named) > LONGEST_LIST:
        return f"{len(layers)} of {circuit.space.n_layers} layers"
    return f"{'layer' if len(layers) == 1 else 'layers'} {named}"


def lead(run: Run, circuit: Circuit) -> str:
    """How small that is."""
    if not len(circuit):
        return "Every head and neuron works as trained. Select one below to knock it out."
    made = make_up(circuit)
    share = sparsity(circuit.sparsity)
    return f"{made[0].upper()}{made[1:]}; of all {len(run.space):,} units {share}."


def selected_unit(run: Run, choice: Choice) -> Unit:
    """The unit the panel shows: the one chosen, else the highest-ranked."""
    if choice.unit:
        return Unit.parse(choice.unit)
    return run.space.unit(int(run.ranking[0]))


def added(choice: Choice, kind: str) -> list[Cell]:
    """Cells of the units of one kind that were added by hand."""
    return frame.units_of(map(Unit.parse, sorted(choice.added)), kind)


def removed(choice: Choice, kind: str) -> list[Cell]:
    """Cells of the units of one kind that were removed by hand."""
    return frame.units_of(map(Unit.parse, sorted(choice.removed)), kind)


def choose_head(data: list[Any]) -> None:
    """Select a clicked head."""
    state.choose(unit=str(Unit("head", int(data[0]), int(data[1]))))


def choose_neuron(data: list[Any]) -> None:
    """Select a clicked neuron, or the best one of a clicked bin."""
    state.choose(unit=str(Unit("neuron", int(data[0]), int(data[1]))))


def control_note(run: Run, choice: Choice) -> None:
    """What the controls of the reported circuit came to, while it is what is knocked out."""
    line = story.control_line(run)
    reported = choice.circuit(run) == run.circuit()
    if line and reported and choice.ablation_of(run) == run.config.ablation:
        st.caption(line)


def unit_panel(run: Run, choice: Choice, unit: Unit) -> Draw:
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
        unit_picker(run, _listed(run, circuit, unit), unit)
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
        if saved:
            return
        with place:
            # Streamlit would leave the last unit's numbers there, under this one's name.
            st.empty()
            try:
                found = _measured_alone(run, choice, unit)
            except CircuitvizError as failure:
                refused(failure, "Cannot measure this unit", "unit")
            else:
                _own_effect(run, choice, found)

    return measure


def _own_effect(run: Run, choice: Choice, found: Alone) -> None:
    alone, intact, recovery, source = found
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


def _listed(run: Run, circuit: Circuit, unit: Unit) -> Circuit:
    """The circuit's best units, as many as a list can hold, and the one selected."""
    if len(circuit) <= frame.UNIT_ROWS:
        return circuit
    best = run.ranking[circuit.mask()[run.ranking]][: frame.UNIT_ROWS]
    named = {run.space.unit(int(flat)) for flat in best}
    return Circuit(run.space, frozenset(named | ({unit} & circuit.units)))


def _saved_alone(run: Run, choice: Choice, unit: Unit) -> Alone | None:
    """What the run has saved of a unit."""
    same = choice.ablation_of(run) == run.config.ablation
    saved = frame.unit_effect(run, unit) if same else None
    if not saved:
        return None
    recovery = frame.unit_recovery(run, unit)
    return saved, run.metrics.asr.intact, recovery, "saved with the run"


def _measured_alone(run: Run, choice: Choice, unit: Unit) -> Alone:
    """The same, measured now.

    Raises:
        CircuitvizError: The model cannot be used.
    """
    with st.spinner("Measuring this unit alone\u2026"):
        off = live_model.effect(run, Circuit.of(run.space, [unit]), ablation=choice.ablation)
        # The same prompts, so that the two compare.
        intact = live_model.effect(run, Circuit(run.space, frozenset()))
    return off.asr, intact.asr, off.recovery, "measured now"


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


def layer_control(run: Run, selected: Unit) -> int:
    """Which layer the strip shows: the selected unit's, until another is chosen by hand."""
    layers, layer = list(range(run.space.n_layers)), selected.layer
    # Of each unit its own: another unit is seen in its layer.
    key = listing_key(LAYER, [run.run_id, str(selected)])
    with st.container(key=LAYER):
        if len(layers) <= 8:
            return int(st.segmented_control("Layer", layers, default=layer, key=key, required=True))
        return int(st.select_slider("Layer", layers, layer, key=key))


def unit_table(run: Run, circuit: Circuit) -> None:
    """The table twin of the maps: select a row to show its unit."""
    kind = st.segmented_control("Show", list(KINDS), default="All", key=KIND, required=True)
    units = frame.unit_frame(run, circuit, KINDS[str(kind)], most=frame.UNIT_ROWS)
    units["in_circuit"] = ["\u25c6 in" if inside else "" for inside in units["in_circuit"]]
    # A row is selected by its number, which is another unit's in another list.
    key = listing_key(TABLE, [run.run_id, *units["unit"]])

    def pick(event: Mapping[str, Any]) -> None:
        rows = event["selection"]["rows"]
        if rows:
            state.choose(unit=str(units.iloc[rows[0]]["unit"]))

    st.dataframe(
        units,
        hide_index=True,
        key=key,
        on_select=when_changed(key, pick),
        selection_mode="single-row",
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
