"""The user's choice, kept in the session and in the URL.

A click on the page navigation clears the URL: then the session wins and writes it again.  A
link, a reload or the browser's back button brings parameters this session did not write: then
the URL wins.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from circuitviz.runs.store import Run
from circuitviz.ui.choice import QUERY_KEYS, Choice
from circuitviz.units import Unit

__all__ = ["choice", "choose", "fit", "restore", "select_run", "toggle_unit", "write_url"]

CHOICE, WRITTEN = "circuitviz_choice", "circuitviz_url"


def restore(default_run: str | None) -> None:
    """Bring session and URL together; called once at the start of each script run."""
    url = {key: st.query_params[key] for key in QUERY_KEYS if key in st.query_params}
    if url and url != st.session_state.get(WRITTEN):
        st.session_state[CHOICE] = Choice.from_query(url)
    elif CHOICE not in st.session_state:
        st.session_state[CHOICE] = Choice()
    if choice().run is None and default_run is not None:
        st.session_state[CHOICE] = replace(choice(), run=default_run)
    write_url()


def choice() -> Choice:
    """What the user is looking at."""
    return st.session_state.get(CHOICE, Choice())


def choose(**changes: Any) -> None:
    """Change some fields of the choice; for callbacks and for pages."""
    st.session_state[CHOICE] = replace(choice(), problems=(), **changes)
    write_url()


def select_run(run_id: str) -> None:
    """Look at another run, as it was saved."""
    if run_id != choice().run:
        st.session_state[CHOICE] = Choice(run=run_id)
        write_url()


def fit(run: Run) -> Choice:
    """Drop what the run does not have from the choice, and return it."""
    fitted = choice().fitted(run)
    if fitted != choice():
        st.session_state[CHOICE] = fitted
        write_url()
    return fitted


def toggle_unit(run: Run, unit: Unit) -> None:
    """Add the unit to the knocked-out circuit, or remove it."""
    st.session_state[CHOICE] = choice().toggled(run, unit)
    write_url()


def write_url() -> None:
    """Put the choice into the URL, where it differs."""
    query = choice().to_query()
    st.session_state[WRITTEN] = query
    present = {key: st.query_params[key] for key in QUERY_KEYS if key in st.query_params}
    if present != query:
        foreign = {key: st.query_params[key] for key in st.query_params if key not in QUERY_KEYS}
        st.query_params.from_dict({**foreign, **query})
