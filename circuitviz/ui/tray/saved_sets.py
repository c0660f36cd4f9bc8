"""The foot of the tray: saved sets, and the link to what is shown."""

from __future__ import annotations

import streamlit as st
from streamlit.components.v2 import component
from streamlit.components.v2.types import ComponentRenderer

from circuitviz.errors import CircuitvizError
from circuitviz.narrative.numbers import count
from circuitviz.runs.store import Run
from circuitviz.runs.unit_sets import LONGEST_NAME, UnitSet
from circuitviz.ui import services, state
from circuitviz.ui.elements.components import last_error
from circuitviz.ui.elements.keys import listing_key
from circuitviz.ui.elements.words import literal_code
from circuitviz.ui.view_state import ViewState

NAME, SET_PROBLEM = "tray_set_name", "tray_set_problem"
# The address is read in the browser: it alone knows by which name the app was reached.
HTML = """
<button type="button"><span class="what">Copy link</span></button>
<input type="text" readonly hidden aria-label="Link to this page">
<span class="said" role="status"></span>
"""
CSS = """
button {
  width: 100%; min-height: 2.5rem; padding: 0.25rem 0.75rem; cursor: pointer;
  font: inherit; font-size: 0.875rem;
  color: var(--st-text-color); background: transparent;
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius, 0.5rem);
}
button:hover { border-color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
input { width: 100%; box-sizing: border-box; margin-top: 0.4rem; font: inherit; padding: 0.3rem; }
.said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
"""
# Browsers offer no clipboard to pages from another machine without HTTPS: then the address is
# shown, selected, to be copied by hand.
JS = """
export default function ({ parentElement }) {
  const button = parentElement.querySelector("button");
  const what = parentElement.querySelector(".what");
  const said = parentElement.querySelector(".said");
  const field = parentElement.querySelector("input");
  let timer;
  button.onclick = async () => {
    let text = "Link copied";
    try {
      await navigator.clipboard.writeText(window.location.href);
      field.hidden = true;
    } catch {
      field.hidden = false;
      field.value = window.location.href;
      field.focus();
      field.select();
      text = "Copy it from here";
    }
    what.textContent = text;
    said.textContent = text;
    clearTimeout(timer);
    timer = setTimeout(() => { what.textContent = "Copy link"; said.textContent = ""; }, 3000);
  };
  return () => clearTimeout(timer);
}
"""


def tray_foot(run: Run, choice: ViewState) -> None:
    """Saved sets, and the link to what is shown."""
    with st.container(key="tray_foot", gap="small"):
        saved_sets(run, choice)
        _component()(key="copy_link")
        if not choice.linked:
            st.caption(
                ":material/link_off: This set is too long for a link. Save it: the link then "
                "names it."
            )


def saved_sets(run: Run, choice: ViewState) -> None:
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
        last_error(SET_PROBLEM)
        if saved:
            _list(run, choice, saved)
        else:
            st.caption(
                "A saved set is listed here again, also after a restart. It is written to "
                f"{literal_code(str(services.unit_sets().folder))}, beside your runs."
            )


def _list(run: Run, choice: ViewState, saved: list[UnitSet]) -> None:
    sizes = {one.name: f"{one.name} ({len(one.units):,}, {one.ablation})" for one in saved}
    key = listing_key("tray_shelf", [run.run_id, *sizes.values()])
    if choice.saved in sizes:
        st.session_state.setdefault(key, choice.saved)
    st.selectbox("Saved for this run", list(sizes), key=key, format_func=sizes.__getitem__)
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
        ViewState(
            listed=saved.units,
            saved=saved.name,
            ablation=None if saved.ablation == run.config.ablation else saved.ablation,
        )
    )


@st.cache_resource(show_spinner=False)
def _component() -> ComponentRenderer:
    return component("circuitviz_copy_link", html=HTML, css=CSS, js=JS)
