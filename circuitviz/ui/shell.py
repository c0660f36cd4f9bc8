"""What stands around every page: style, sidebar, the run all pages share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.navigation.page import Page

from circuitviz.errors import CircuitvizError
from circuitviz.files import ICON
from circuitviz.runs.store import Run
from circuitviz.ui import services, state
from circuitviz.ui.elements.components import STYLE, error, page_header, warn
from circuitviz.ui.elements.keys import listing_key, picker
from circuitviz.ui.elements.words import glossary, glossary_button, literal
from circuitviz.ui.run_names import method_note
from circuitviz.ui.services import freeze_imports
from circuitviz.ui.tray.tray import tray, tray_numbers
from circuitviz.ui.view_state import ViewState

PICKER, ENTERED = "run_picker", "circuitviz_entered"
SIDEBAR_PIXELS = 280
# Pages that show no run have the tray folded away; one hides everything around it.
TRAY_FOLDED = ("Discover", "Models and data")
WITHOUT_TRAY = ("Present",)


def navigation() -> Page:
    """The pages, and the one that is open."""
    return st.navigation(
        [
            st.Page(
                "pages/overview.py", title="Overview", icon=":material/insights:", default=True
            ),
            st.Page("pages/discover.py", title="Discover", icon=":material/travel_explore:"),
            st.Page("pages/models.py", title="Models and data", icon=":material/upload_file:"),
            st.Page("pages/circuit.py", title="Circuit", icon=":material/grid_on:"),
            st.Page("pages/tradeoff.py", title="Trade-off", icon=":material/show_chart:"),
            st.Page("pages/generations.py", title="Generations", icon=":material/forum:"),
            st.Page("pages/tuning.py", title="Tuning", icon=":material/healing:"),
            st.Page("pages/compare.py", title="Compare", icon=":material/compare:"),
            st.Page("pages/report.py", title="Report", icon=":material/article:"),
            st.Page("pages/present.py", title="Present", icon=":material/slideshow:"),
        ]
    )


def configure_page() -> None:
    """Title, icon, width and sidebar of every page; the first thing a script calls."""
    st.set_page_config(
        page_title="circuitviz",
        # A file of ours: a symbol by name would be fetched from another host.
        page_icon=str(ICON),
        layout="wide",
        initial_sidebar_state=SIDEBAR_PIXELS,
    )


def ensure_entry() -> None:
    """Start again through `app.py` where a page was run on its own.

    Until the first `st.navigation` of a server's life, Streamlit takes a folder named `pages`
    for its older kind of app and runs the page a link names without `app.py`.
    """
    if ENTERED not in st.session_state:
        st.session_state[ENTERED] = True
        configure_page()
        navigation()
        st.rerun()


def draw_chrome(page: Page) -> Callable[[], None]:
    """Style and sidebar; called by the app before each page.

    Returns:
        Draws what may take a moment; called by the app after the page, which is then there.
    """
    st.session_state[ENTERED] = True
    st.html(STYLE)
    state.restore(services.default_run())
    with st.sidebar:
        _picker()
        run = _shown_run()
        numbers = None
        if run is not None:
            st.caption(method_note(run.config))
            numbers = _tray(page, run)
        opened = glossary_button()
    if opened:
        glossary()

    def finish() -> None:
        if run is not None and numbers is not None:
            with numbers:
                # They are measured on what is there now.
                if changed := services.changed_since(run):
                    st.warning(
                        f"Changed since this run was made: {' and '.join(changed)}. Numbers that "
                        "are measured now do not belong to the saved ones; carry out the "
                        "discovery again.",
                        icon=":material/warning:",
                    )
                tray_numbers(run, state.fitted(run))
        freeze_imports("pages")

    return finish


def _tray(page: Page, run: Run) -> DeltaGenerator | None:
    """The tray; the place for its numbers, where it is open."""
    if page.title in WITHOUT_TRAY:
        return None
    if page.title not in TRAY_FOLDED:
        return tray(run, state.fitted(run))
    # Closed it measures nothing: a discovery has the processor to itself.
    fold = st.expander(
        "Units knocked out", icon=":material/content_cut:", key="tray_fold", on_change="rerun"
    )
    with fold:
        return tray(run, state.fitted(run)) if fold.open else None


def _shown_run() -> Run | None:
    """The chosen run, where it can be read; the page says what is wrong with another."""
    with suppress(CircuitvizError):
        return services.load_run(state.choice().run or "")


def current_run(question: str) -> tuple[Run, ViewState]:
    """The chosen run and the choice fitted to it; stops the page where there is none.

    Args:
        question: What the page asks, shown above the empty state.
    """
    ensure_entry()
    run_id = state.choice().run
    if run_id is None:
        _no_run(question)
    try:
        run = services.load_run(str(run_id))
    except CircuitvizError as failure:
        _bad_run(question, str(run_id), str(failure))
    fitted = state.fit(run)
    warn(fitted.problems)
    return run, fitted


def rerun_if_set_changed(run: Run, drawn: ViewState) -> ViewState:
    """The choice now, for a fragment of a page that shows a run.

    If another set of units is knocked out since the whole page was `drawn`, everything is drawn
    again: all of the app shows the set.
    """
    now = state.fit(run)
    if now.run != drawn.run or now.set_part != drawn.set_part:
        st.rerun(scope="app")
    return now


def _picker() -> None:
    cards, chosen = services.run_cards(), state.choice().run
    if not cards:
        st.caption("No saved run yet.")
        return
    titles = {card.run_id: card.title for card in cards}
    if chosen:
        titles.setdefault(chosen, chosen)
    with st.container(key=PICKER):
        picker(
            "Run",
            titles,
            chosen,
            state.select_run,
            key=listing_key(PICKER, titles.values()),
            note="A saved discovery. Every page shows this run; its address bar link opens it "
            "again.",
        )


def _no_run(question: str) -> NoReturn:
    page_header(
        question,
        "Nothing has been discovered yet",
        "Start a discovery: it takes about half a minute on a laptop and opens its result here.",
    )
    st.page_link("pages/discover.py", label="Go to Discover", icon=":material/travel_explore:")
    st.stop()


def _bad_run(question: str, run_id: str, reason: str) -> NoReturn:
    page_header(question, "This run cannot be opened")
    error(reason)
    cards = services.run_cards()
    if cards:
        st.write("These runs are here:")
        for card in cards:
            st.button(
                literal(card.title),
                key=f"open_{card.run_id}",
                icon=":material/folder_open:",
                on_click=state.select_run,
                args=(card.run_id,),
            )
    else:
        st.page_link(
            "pages/discover.py", label="Start a discovery", icon=":material/travel_explore:"
        )
    st.stop()
