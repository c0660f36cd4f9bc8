"""The ablation tray: which units are knocked out, how, and what that does; on every page."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from circuitviz.errors import CircuitvizError, ConfigError
from circuitviz.plots.text import count, kinds_in, make_up
from circuitviz.runs.config import AblationKind
from circuitviz.runs.store import Run
from circuitviz.runs.unit_sets import LONGEST_NAME, UnitSet
from circuitviz.ui import services, state
from circuitviz.ui.choice import Choice
from circuitviz.ui.elements.components import chips, error
from circuitviz.ui.elements.copy_link import copy_link
from circuitviz.ui.elements.keys import listing_key, when_changed
from circuitviz.ui.elements.words import literal, literal_code
from circuitviz.units import Circuit, Unit

NAME, SHELF, SET_PROBLEM = "tray_set_name", "tray_shelf", "tray_set_problem"

UNITS, WORDS, ABLATION, PROBLEM = "tray_units", "tray_words", "tray_ablation", "tray_problem"
# So many units are shown as chips of their own; more are folded away.
MOST_CHIPS = 16
# From this share of the model on, a set is no circuit any more.
LARGE_SHARE = 0.5
# The units of a larger model are too many to list all but a few of them.
MOST_INVERTED = 250_000
# Heads are framed and neurons are diamonds on the maps as well.
SYMBOLS = {"head": "\u25a3", "neuron": "\u25c6"}


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
        problem = st.session_state.pop(SET_PROBLEM, None)
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
        st.session_state[SET_PROBLEM] = str(failure)
        return
    st.session_state[NAME] = ""
    _take(run, saved)


def _load(run: Run, key: str) -> None:
    """Load the set that is chosen in the list of that key when the button is pressed."""
    try:
        _take(run, services.unit_sets().load(run.run_id, st.session_state[key]))
    except CircuitvizError as failure:
        st.session_state[SET_PROBLEM] = str(failure)


def _delete(run: Run, key: str) -> None:
    name = st.session_state[key]
    try:
        services.unit_sets().delete(run.run_id, name)
    except OSError as failure:
        reason = failure.strerror or failure
        st.session_state[SET_PROBLEM] = f"cannot delete the set {name!r}: {reason}"
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


def tray(run: Run, choice: Choice) -> DeltaGenerator:
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
    return numbers


def tray_foot(run: Run, choice: Choice) -> None:
    """Saved sets, and the link to what is shown."""
    with st.container(key="tray_foot", gap="small"):
        set_shelf(run, choice)
        copy_link()
        if not choice.linked:
            st.caption(
                ":material/link_off: This set is too long for a link. Save it: the link then "
                "names it."
            )


def provenance(run: Run, choice: Choice) -> str:
    """Where the set comes from, in a few words."""
    changes = len(choice.added) + len(choice.removed)
    parts = [_origin(run, choice)]
    if choice.inverted:
        parts = [f"all units but those of {parts[0]}"]
    if changes:
        parts.append(f"{changes} changed by hand")
    return ", ".join(parts)


def _origin(run: Run, choice: Choice) -> str:
    if choice.saved is not None:
        return f"the saved set \u201c{choice.saved}\u201d"
    if choice.listed is not None:
        return "a set of your own" if choice.listed else "the empty set"
    if choice.separate:
        return f"{choice.heads} heads and {choice.neurons} neurons chosen"
    if choice.size is not None and choice.size != run.size:
        return f"size {choice.size:,} chosen (found: {run.size:,})"
    return "the circuit of this run"


def _title(run: Run, choice: Choice, circuit: Circuit) -> None:
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
    if len(names) <= MOST_CHIPS:
        key = f"{UNITS}_{run.run_id}"
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
        key = f"{WORDS}_{run.run_id}"
        st.text_input(
            "Add or remove units",
            key=key,
            placeholder="L1H3, -L2N117",
            on_change=when_changed(key, lambda words: _words_changed(run, key, words)),
            help="Names with commas between them; a minus removes.",
        )
        with st.expander(_summary(circuit), key=listing_key("tray_all", [run.run_id])):
            chips(list(circuit), lambda unit: unit_chip(str(unit)))
    problem = st.session_state.pop(PROBLEM, None)
    if problem:
        error(problem)


def _summary(circuit: Circuit) -> str:
    heads, neurons = kinds_in(circuit)
    return (
        f"{SYMBOLS['head']} {count(heads, 'head')}, {SYMBOLS['neuron']} {count(neurons, 'neuron')}"
    )


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


def _words_changed(run: Run, key: str, words: str) -> None:
    if words.strip() and _change(run, words):
        st.session_state[key] = ""


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


def _ablation(run: Run, choice: Choice) -> None:
    st.session_state[ABLATION] = choice.ablation_of(run)
    st.segmented_control(
        "Replaced by",
        get_args(AblationKind),
        key=ABLATION,
        required=True,
        on_change=when_changed(ABLATION, lambda kind: _ablation_changed(run, kind)),
        help="zero: nothing is left of a unit's output. mean: its average on neutral prompts. "
        f"resample: its value on another prompt. This run was learned with {run.config.ablation} "
        "ablation, and its saved numbers are of that.",
    )


def _ablation_changed(run: Run, kind: AblationKind) -> None:
    state.choose(ablation=None if kind == run.config.ablation else kind)


def _buttons(run: Run, choice: Choice) -> None:
    history = state.history()
    with st.container(key="tray_buttons"):
        for label, icon, key, action, idle, note in (
            ("Undo", "undo", "tray_undo", state.undo, not history.past, "Back one step"),
            ("Redo", "redo", "tray_redo", state.redo, not history.future, "Forward one step"),
            (
                "Invert",
                "contrast",
                "tray_invert",
                lambda: state.change_set(state.choice().inverse(run)),
                len(run.space) > MOST_INVERTED,
                "Knock out all other units instead. For a small circuit that is nearly the whole "
                "model.",
            ),
            (
                "Clear",
                "clear_all",
                "tray_clear",
                lambda: state.change_set(state.choice().emptied()),
                not len(choice.circuit(run)),
                "Knock out nothing",
            ),
        ):
            st.button(
                label,
                icon=f":material/{icon}:",
                key=key,
                width="stretch",
                on_click=action,
                disabled=idle,
                help=note,
            )
    _random_buttons(run, choice)
    st.button(
        "Back to the found circuit",
        icon=":material/restart_alt:",
        key="back_to_found",
        width="stretch",
        disabled=choice.set_part == Choice().set_part
        or (choice.circuit(run) == run.circuit() and choice.ablation is None),
        on_click=lambda: state.change_set(state.choice().found_again()),
    )


def _random_buttons(run: Run, choice: Choice) -> None:
    seed = 0 if choice.random is None else choice.random + 1
    st.button(
        "Random control" if choice.random is None else f"Draw again, seed {seed}",
        icon=":material/casino:",
        key="tray_random",
        width="stretch",
        disabled=not len(choice.own_circuit(run)),
        on_click=lambda: state.change_set(state.choice().drawn(run, seed)),
        help="Other units instead, drawn at random: as many heads and neurons in each layer. They "
        "should leave the behaviour as it is.",
    )
    if choice.random is not None:
        st.button(
            "Back to the set",
            icon=":material/arrow_back:",
            key="tray_own",
            width="stretch",
            on_click=lambda: state.choose(random=None),
        )
