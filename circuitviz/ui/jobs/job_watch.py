"""The job a page follows: found again from any session, drawn with its progress, stopped."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.plots.text import percent
from circuitviz.runs.job import JobKind
from circuitviz.runs.jobs import Job
from circuitviz.ui import services

__all__ = ["ended_job", "follow", "start_button", "watch", "watched_job"]

WATCHED: dict[JobKind, str] = {"discovery": "watched_job", "tuning": "watched_tuning"}
# What each kind leaves behind, in a word.
RESULTS: dict[JobKind, str] = {"discovery": "run", "tuning": "tuning"}
POLL_SECONDS = 1.0


def watch(job_id: str, kind: JobKind) -> None:
    """Follow this job on the page of its kind."""
    st.session_state[WATCHED[kind]] = job_id


def watched_job(kind: JobKind) -> Job | None:
    """The job the page of a kind follows: the one started here, else any that is active."""
    try:
        jobs = services.runner().jobs()
    except CircuitvizError:
        return None
    active = [job for job in jobs if job.active and job.kind == kind]
    chosen = st.session_state.get(WATCHED[kind])
    for job in active:
        if job.job_id == chosen:
            return job
    running = [job for job in active if job.state == "running"] or active
    if running:
        st.session_state[WATCHED[kind]] = running[-1].job_id
        return running[-1]
    return None


def ended_job(kind: JobKind) -> Job | None:
    """The job that was watched, once after it has ended."""
    job_id = st.session_state.get(WATCHED[kind])
    if job_id is None:
        return None
    try:
        job = services.runner().job(job_id)
    except CircuitvizError:
        del st.session_state[WATCHED[kind]]
        return None
    if job.active:
        return None
    del st.session_state[WATCHED[kind]]
    return job


def follow(job_id: str, doing: Callable[[Job], str], draw: Callable[[Job], None]) -> None:
    """Progress and pictures of a job, drawn again each second while it is active.

    Args:
        job_id: The job.
        doing: What it does at the moment, for its bar.
        draw: Draws what there is to see below the bar.
    """

    @st.fragment(run_every=POLL_SECONDS)
    def again() -> None:
        try:
            job = services.runner().job(job_id)
        except CircuitvizError:
            st.rerun()
        if not job.active:
            st.rerun()
        _progress_bar(job, _progress_text(job, doing(job)))
        draw(job)

    again()


def start_button(
    kind: JobKind, start: Callable[[], None], *, saved: bool, key: str, opener: Callable[[], None]
) -> None:
    """Start, and beside it what opens the same work where it has been done before.

    Args:
        kind: What is started.
        start: Submits it.
        saved: Whether a result of exactly this configuration is there.
        key: Of the button.
        opener: Draws what opens that result.
    """
    if saved:
        st.info(
            f"This exact configuration has a saved {RESULTS[kind]}. Running it again gives the "
            "same result.",
            icon=":material/inventory_2:",
        )
    with st.container(horizontal=True):
        st.button(
            "Run it again and watch" if saved else f"Start {kind}",
            type="secondary" if saved else "primary",
            icon=":material/play_arrow:",
            key=key,
            on_click=start,
        )
        if saved:
            opener()


def _progress_bar(job: Job, text: str) -> None:
    """How far the job is, in a bar with a text, and the button that stops it."""
    fraction = job.progress.fraction if job.progress else 0.0
    bar, stop = st.columns([5, 1], vertical_alignment="bottom")
    bar.progress(min(1.0, max(0.0, fraction)), text=text)
    stop.button(
        "Stopping\u2026" if job.stopping else "Stop",
        icon=":material/stop:",
        key="stop",
        disabled=job.stopping,
        on_click=_stop,
        args=(job.job_id,),
        width="stretch",
    )


def _progress_text(job: Job, what: str) -> str:
    """What a job does, how much of it is done, and how long the rest takes."""
    if job.state == "queued":
        return "Waiting for the work before it"
    if job.progress is None:
        return "Starting the worker (a few seconds the first time)"
    text = f"{what} · {percent(job.progress.fraction, 0)}"
    # The pace while the model loads says nothing about the rest.
    known = job.eta is not None and job.progress.stage != "load"
    return text + (f" · about {_duration(job.eta or 0)} left" if known else "")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


def _stop(job_id: str) -> None:
    try:
        services.runner().cancel(job_id)
    except CircuitvizError as error:
        st.toast(str(error), icon=":material/error:")
