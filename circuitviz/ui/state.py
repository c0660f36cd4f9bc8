"""The user's choice, kept in the session and in the URL.

A link or a reload starts a session with the URL's parameters, and the browser's back button brings
older ones: then the URL wins.  Otherwise the session does, and writes the URL again: a click on the
page navigation clears it, and a fast click sends the one before the last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from circuitviz.errors import CircuitvizError
from circuitviz.runs.store import Run
from circuitviz.ui import services
from circuitviz.ui.view_state import QUERY_KEYS, ViewState
from circuitviz.units import Unit

# Steps that can be taken back; older ones are forgotten.
MAX_STEPS = 100

State = TypeVar("State")

CHOICE, LINKED = "circuitviz_choice", "circuitviz_linked"
HISTORY = "circuitviz_history"


@dataclass(frozen=True)
class History(Generic[State]):
    """States before and after the present one, the nearest last.

    Attributes:
        past: What undo goes back to, oldest first.
        future: What redo goes forward to, furthest first.
    """

    past: tuple[State, ...] = ()
    future: tuple[State, ...] = ()

    def record(self, present: State) -> History[State]:
        """The history after the present state was left for a new one."""
        return History(past=(*self.past, present)[-MAX_STEPS:])

    def undo(self, present: State) -> tuple[State, History[State]]:
        """The state before this one; the same one where there is none."""
        if not self.past:
            return present, self
        return self.past[-1], History(self.past[:-1], (*self.future, present))

    def redo(self, present: State) -> tuple[State, History[State]]:
        """The state that was undone last; the same one where there is none."""
        if not self.future:
            return present, self
        after = replace(self, past=(*self.past, present)[-MAX_STEPS:], future=self.future[:-1])
        return self.future[-1], after


def restore(default_run: str | None) -> None:
    """Bring session and URL together; called once at the start of each script run."""
    url = {key: st.query_params[key] for key in QUERY_KEYS if key in st.query_params}
    context = get_script_run_ctx()
    came_back = context is not None and context.is_history_navigation
    linked = st.session_state[LINKED] = came_back or CHOICE not in st.session_state
    if url and linked:
        _put(ViewState.from_query(url))
    elif CHOICE not in st.session_state:
        _put(ViewState())
    if choice().run is None and default_run is not None:
        st.session_state[CHOICE] = replace(choice(), run=default_run)
    write_url()


def by_link() -> bool:
    """Whether an address asked for this run of the script, and not a click on the page."""
    return st.session_state.get(LINKED, True)


def choice() -> ViewState:
    """What the user is looking at."""
    return st.session_state.get(CHOICE, ViewState())


def choose(**changes: Any) -> None:
    """Change some fields of the choice; for callbacks and for pages."""
    # A size is a cut of the ranking, and nothing else is one.
    cut = {"size", "heads", "neurons"} & set(changes)
    before = choice().of_ranking() if cut else choice()
    _put(replace(before, problems=(), **changes))
    write_url()


def change_set(changed: ViewState) -> None:
    """Knock out another set of units."""
    choose(**changed.set_part)


def select_run(run_id: str) -> None:
    """Look at another run, as it was saved."""
    if run_id != choice().run:
        _put(ViewState(run=run_id))
        write_url()


def fitted(run: Run) -> ViewState:
    """The choice without what the run does not have, and with the saved set it names."""
    return _with_saved_set(run, choice()).fitted(run)


def fit(run: Run) -> ViewState:
    """Drop what the run does not have from the choice, and return it."""
    now = fitted(run)
    if now != choice():
        st.session_state[CHOICE] = now
        write_url()
    return now


def _with_saved_set(run: Run, named: ViewState) -> ViewState:
    """A link that names a set without listing it means what is saved here under that name.

    One that lists it may call it anything: the name is believed where these units are saved.
    """
    if named.saved is None:
        return named
    try:
        units = services.unit_sets().load(run.run_id, named.saved).units
    except CircuitvizError as error:
        if named.listed is not None:
            return named.without_wrong_name(None)
        return replace(named, saved=None, problems=(*named.problems, f"{error}."))
    return replace(named, listed=units) if named.listed is None else named.without_wrong_name(units)


def toggle_unit(run: Run, unit: Unit) -> None:
    """Add the unit to the knocked-out circuit, or remove it."""
    change_set(choice().toggled(run, unit))


def history() -> History[dict[str, Any]]:
    """The sets that were knocked out before, in this session and of this run."""
    return st.session_state.get(HISTORY, History())


def undo() -> None:
    """Back to the set before this one."""
    _step(*history().undo(choice().set_part))


def redo() -> None:
    """Forward to the set that was undone last."""
    _step(*history().redo(choice().set_part))


def _step(part: dict[str, Any], after: History[dict[str, Any]]) -> None:
    st.session_state[CHOICE] = replace(choice(), problems=(), **part)
    st.session_state[HISTORY] = after
    write_url()


def _put(new: ViewState) -> None:
    """Keep a new choice, and in the history the set it replaces."""
    old = st.session_state.get(CHOICE)
    if old is None or old.run != new.run:
        st.session_state[HISTORY] = History()
    elif old.set_part != new.set_part:
        st.session_state[HISTORY] = history().record(old.set_part)
    st.session_state[CHOICE] = new


def write_url() -> None:
    """Put the choice into the URL, where it differs."""
    query = choice().to_query()
    present = {key: st.query_params[key] for key in QUERY_KEYS if key in st.query_params}
    if present != query:
        foreign = {key: st.query_params[key] for key in st.query_params if key not in QUERY_KEYS}
        st.query_params.from_dict({**foreign, **query})
