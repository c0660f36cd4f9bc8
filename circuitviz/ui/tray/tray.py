"""The ablation tray: which units are knocked out, how, and what that does; on every page."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from circuitviz.errors import CircuitvizError, ConfigError
from circuitviz.evaluation.rate import Rate
from circuitviz.narrative import story
from circuitviz.narrative.numbers import count, evidence, kinds_in, make_up, percent
from circuitviz.narrative.phrases import utility_label
from circuitviz.runs.config import AblationKind
from circuitviz.runs.store import Run
from circuitviz.tables import frame
from circuitviz.ui import state
from circuitviz.ui.elements.components import Card, cards, chips, last_error
from circuitviz.ui.elements.fetch_button import refusing
from circuitviz.ui.elements.keys import listing_key, when_changed
from circuitviz.ui.elements.words import literal
from circuitviz.ui.live import live_model
from circuitviz.ui.tray.saved_sets import tray_foot
from circuitviz.ui.view_state import ViewState
from circuitviz.units import Circuit, Unit, UnitKind

ABLATION, PROBLEM, ALL_PROMPTS = "tray_ablation", "tray_problem", "tray_all_prompts"
# So many units are shown as chips of their own; more are folded away.
MAX_CHIPS = 16
# From this share of the model on, a set is no circuit any more.
LARGE_SHARE = 0.5
# The units of a larger model are too many to list all but a few of them.
MAX_INVERTED = 250_000
# Heads are framed and neurons are diamonds on the maps as well.
SYMBOLS = {"head": "\u25a3", "neuron": "\u25c6"}


def tray(run: Run, choice: ViewState) -> DeltaGenerator:
    """The set, and everything that changes it.

    Returns:
        The place above the controls for what `tray_numbers` measures.
    """
    circuit = choice.circuit(run)
    with st.container(key="tray_head", gap="xsmall"):
        _title(run, choice, circuit)
    numbers = st.container(key="tray_numbers", gap="xsmall")
    with st.container(key="tray_set", gap="small"):
        _members(run, circuit)
        _ablation(run, choice)
        _buttons(run, choice)
    tray_foot(run, choice)
    return numbers


def provenance(run: Run, choice: ViewState) -> str:
    """Where the set comes from, in a few words."""
    changes = len(choice.added) + len(choice.removed)
    parts = [_origin(run, choice)]
    if choice.inverted:
        parts = [f"all units but those of {parts[0]}"]
    if changes:
        parts.append(f"{changes} changed by hand")
    return ", ".join(parts)


def _origin(run: Run, choice: ViewState) -> str:
    if choice.saved is not None:
        return f"the saved set \u201c{choice.saved}\u201d"
    if choice.listed is not None:
        return "a set of your own" if choice.listed else "the empty set"
    if choice.separate:
        return f"{choice.heads} heads and {choice.neurons} neurons chosen"
    if choice.size is not None and choice.size != run.size:
        return f"size {choice.size:,} chosen (found: {run.size:,})"
    return "the circuit of this run"


def _title(run: Run, choice: ViewState, circuit: Circuit) -> None:
    where = literal(provenance(run, choice))
    made = f", {make_up(circuit)}" if len(circuit) else ""
    st.markdown(f"Knocked out: **{count(len(circuit), 'unit')}**{made}")
    if choice.random is None:
        st.caption(f"{where[0].upper()}{where[1:]}.")
    else:
        own = choice.own_circuit(run)
        shared = len(own.units & circuit.units)
        text = (
            f"**Random control**, seed {choice.random}: other units, as many of each kind in each "
            f"layer as in {where}."
        )
        st.caption(text + (f" {shared:,} are the set's own, for want of others." if shared else ""))
    if circuit.sparsity >= LARGE_SHARE:
        st.warning(
            f"{count(len(circuit), 'unit')} of {len(run.space):,}: little of the model is left, "
            "and it may say nothing sensible.",
            icon=":material/warning:",
        )


def _members(run: Run, circuit: Circuit) -> None:
    names = [str(unit) for unit in circuit]
    if len(names) <= MAX_CHIPS:
        key = f"tray_units_{run.run_id}"
        st.session_state[key] = names
        st.multiselect(
            "Units off",
            names,
            key=key,
            format_func=unit_chip,
            accept_new_options=True,
            placeholder="Type a unit, like L1H3",
            on_change=when_changed(key, _members_taker(run, names)),
            help=f"{SYMBOLS['head']} attention head, {SYMBOLS['neuron']} neuron. Type a name such "
            "as L1H3 or L2N117 to add it.",
        )
    else:
        key = f"tray_words_{run.run_id}"

        def take_words(words: str) -> None:
            if words.strip() and _change(run, words):
                st.session_state[key] = ""

        st.text_input(
            "Add or remove units",
            key=key,
            placeholder="L1H3, -L2N117",
            on_change=when_changed(key, take_words),
            help="Names with commas between them; a minus removes.",
        )
        kinds = zip(get_args(UnitKind), kinds_in(circuit), strict=True)
        summary = ", ".join(f"{SYMBOLS[kind]} {count(number, kind)}" for kind, number in kinds)
        with st.expander(summary, key=listing_key("tray_all", [run.run_id])):
            chips(list(circuit), lambda unit: unit_chip(str(unit)))
    last_error(PROBLEM)


def unit_chip(name: str) -> str:
    """A unit's name with the symbol of its kind; what is no unit stays as it is."""
    try:
        return f"{SYMBOLS[Unit.parse(name).kind]} {name}"
    except ConfigError:
        return name


def _members_taker(run: Run, shown: list[str]) -> Callable[[list[str]], None]:
    """Takes the names a browser sends, and from them what its user added and removed.

    Units that were added elsewhere, and are not yet shown, stay.

    Args:
        run: Whose units.
        shown: The names that the browser was given.
    """

    def take(wanted: list[str]) -> None:
        nonlocal shown
        words = [word for word in wanted if word not in shown]
        gone = [f"-{name}" for name in shown if name not in wanted]
        shown = wanted
        _change(run, ", ".join([*words, *gone]))

    return take


def _change(run: Run, words: str) -> bool:
    """Add and remove units by name; says whether all names were units of the model."""
    try:
        added, removed = added_and_removed(run, words)
    except CircuitvizError as failure:
        st.session_state[PROBLEM] = str(failure)
        return False
    changed = state.choice()
    circuit = changed.circuit(run)
    for unit in [*(added - circuit.units), *(removed & circuit.units)]:
        changed = changed.toggled(run, unit)
    state.change_set(changed)
    return True


def added_and_removed(run: Run, words: str) -> tuple[set[Unit], set[Unit]]:
    """The units that `L1H3, -L2N117` adds and removes.

    Raises:
        ConfigError: A name is no unit, or none of this model.
    """
    added: set[Unit] = set()
    removed: set[Unit] = set()
    for word in filter(None, (part.strip() for part in words.replace(";", ",").split(","))):
        unit = Unit.parse(word.lstrip("+-\u2212").strip().upper())
        run.space.flat(unit)
        (removed if word[0] in "-\u2212" else added).add(unit)
    return added, removed


def _ablation(run: Run, choice: ViewState) -> None:
    st.session_state[ABLATION] = choice.ablation_of(run)
    st.segmented_control(
        "Replaced by",
        get_args(AblationKind),
        key=ABLATION,
        required=True,
        on_change=when_changed(
            ABLATION,
            lambda kind: state.choose(ablation=None if kind == run.config.ablation else kind),
        ),
        help="zero: nothing is left of a unit's output. mean: its average on neutral prompts. "
        f"resample: its value on another prompt. This run was learned with {run.config.ablation} "
        "ablation, and its saved numbers are of that.",
    )


def _buttons(run: Run, choice: ViewState) -> None:
    history = state.history()
    with st.container(key="tray_buttons"):
        _button("Undo", "undo", "tray_undo", state.undo, not history.past, "Back one step")
        _button("Redo", "redo", "tray_redo", state.redo, not history.future, "Forward one step")
        _button(
            "Invert",
            "contrast",
            "tray_invert",
            lambda: state.change_set(state.choice().inverse(run)),
            len(run.space) > MAX_INVERTED,
            "Knock out all other units instead. For a small circuit that is nearly the whole "
            "model.",
        )
        _button(
            "Clear",
            "clear_all",
            "tray_clear",
            lambda: state.change_set(state.choice().cleared()),
            not len(choice.circuit(run)),
            "Knock out nothing",
        )
    seed = 0 if choice.random is None else choice.random + 1
    _button(
        "Random control" if choice.random is None else f"Draw again, seed {seed}",
        "casino",
        "tray_random",
        lambda: state.change_set(state.choice().with_random_control(run, seed)),
        not len(choice.own_circuit(run)),
        "Other units instead, drawn at random: as many heads and neurons in each layer. They "
        "should leave the behaviour as it is.",
    )
    if choice.random is not None:
        _button("Back to the set", "arrow_back", "tray_own", lambda: state.choose(random=None))
    _button(
        "Back to the found circuit",
        "restart_alt",
        "back_to_found",
        lambda: state.change_set(state.choice().reset_set()),
        choice.set_part == ViewState().set_part
        or (choice.circuit(run) == run.circuit() and choice.ablation is None),
    )


def _button(
    label: str,
    icon: str,
    key: str,
    act: Callable[[], None],
    idle: bool = False,
    note: str | None = None,
) -> None:
    icon = f":material/{icon}:"
    st.button(label, key, note, act, icon=icon, width="stretch", disabled=idle)


@refusing("Cannot measure this set", "tray")
def tray_numbers(run: Run, choice: ViewState) -> None:
    """What knocking out exactly this set does, saved with the run or measured now: two cards."""
    circuit, ablation = choice.circuit(run), choice.ablation_of(run)
    saved = saved_rates(run, circuit, ablation)
    if saved:
        asr = saved["asr"], run.metrics.asr.intact
        utility = saved["utility"], run.metrics.utility.intact
    else:
        # Streamlit would leave the last set's numbers there, under this one's name.
        st.empty()
        limit = None if st.session_state.get(ALL_PROMPTS) else live_model.LIVE_LIMIT
        with st.spinner("Measuring exactly this set\u2026"):
            off = live_model.effect(run, circuit, ablation=choice.ablation, limit=limit)
            nothing = Circuit(run.space, frozenset())
            intact = live_model.effect(run, nothing, limit=limit)
        asr, utility = (off.asr, intact.asr), (off.utility, intact.utility)
    cards([tray_card(story.asr_label(run), *asr), tray_card(utility_label(utility[0]), *utility)])
    if saved:
        st.caption(f"Saved with the run: test prompts, {ablation} ablation.")
        return
    st.caption(f"Measured now on test prompts, {ablation} ablation.")
    most = run.metrics.asr.intact.n
    if most > live_model.LIVE_LIMIT:
        st.toggle(
            f"Measure on all {most:,}",
            key=ALL_PROMPTS,
            persist_state="session",
            help=f"{live_model.LIVE_LIMIT} prompts of each role are measured sooner; all of them "
            "give narrower intervals.",
        )


def saved_rates(run: Run, circuit: Circuit, ablation: AblationKind) -> dict[str, Rate]:
    """ASR and utility with exactly these units knocked out; empty where the run does not say.

    A run says it of the intact model, of the circuit it reports and of the circuits its ranking
    was cut into, all under its own ablation.
    """
    if not len(circuit):
        return {"asr": run.metrics.asr.intact, "utility": run.metrics.utility.intact}
    if ablation != run.config.ablation:
        return {}
    rates: dict[str, Rate] = {}
    size, pair = len(circuit), kinds_in(circuit)
    if circuit == run.circuit():
        rates = frame.rates_at(run)
    elif size != run.size and size in run.joint_sizes and circuit == run.ranked.best(size):
        rates = frame.rates_at(run, size=size)
    elif pair in run.budget_points and circuit == run.circuit_of(*pair):
        rates = frame.rates_at(run, heads=pair[0], neurons=pair[1])
    return rates if {"asr", "utility"} <= set(rates) else {}


def tray_card(label: str, after: Rate, intact: Rate) -> Card:
    """One rate from the intact model's to this set's, with the evidence of both."""
    return Card(
        label,
        percent(after.rate),
        f"{evidence(after)} \u00b7 intact {intact.k:,} of {intact.n:,} \u00b7 judge: {after.judge}",
        percent(intact.rate),
    )
