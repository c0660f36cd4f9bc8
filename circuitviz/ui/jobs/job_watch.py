"""The job a page follows: found again from any session, drawn with its progress, stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.plots.text import percent
from circuitviz.runs.job import JobKind
from circuitviz.runs.jobs import Job
from circuitviz.ui import services, state
from circuitviz.ui.elements.components import error
from circuitviz.ui.elements.words import literal

# The job this session started last.
WATCHED: dict[JobKind, str] = {"discovery": "watched_job", "tuning": "watched_tuning"}
POLL_SECONDS = 1.0


def watch(job_id: str, kind: JobKind) -> None:
    """Follow this job on the page of its kind."""
    st.session_state[WATCHED[kind]] = job_id


def watched_job(kind: JobKind) -> Job | None:
    """The job the page of a kind follows: the one started here, else any that is active."""
    active = [job for job in _jobs(kind) if job.active]
    own = [job for job in active if _started_here(job)]
    running = [job for job in active if job.state == "running"]
    # The oldest is at work first.
    return next(reversed(own or running or active), None)


def tell_ended(kind: JobKind, stopped: Callable[[Job], str]) -> None:
    """Say how the job ended that this page showed at work, or that was started here.

    Whoever saw it end is taken to its result.  Whoever was elsewhere goes there by a button: it
    opens another run, and what is chosen now would be lost.

    Args:
        kind: Of the page.
        stopped: What is said of a job that was stopped.
    """
    ended = [job for job in _jobs(kind) if not job.active]
    told = [job for job in ended if _seen_at_work(job)] or [*filter(_started_here, ended)]
    if not told:
        return
    job = told[0]
    if job.state == "done":
        _tell_done(job)
        return
    _forget(job)
    if job.state == "failed":
        error(f"The {kind} failed: {job.error or ''}")
    else:
        st.info(stopped(job), icon=":material/stop_circle:")


def _tell_done(job: Job) -> None:
    if _seen_at_work(job):
        st.toast(f"{job.kind.capitalize()} finished", icon=":material/check_circle:")
        open_result(job)
    with st.container(horizontal=True, vertical_alignment="center", key="job_ended"):
        st.success(
            f"The {job.kind} of {literal(job_title(job))} is finished.",
            icon=":material/check_circle:",
        )
        if st.button("Open it", icon=":material/folder_open:", key=f"open_ended_{job.job_id}"):
            open_result(job)


def job_title(job: Job) -> str:
    """The name for people of the model a job is about."""
    if job.kind == "tuning":
        return services.run_model_title(job.tuning.run)
    return services.model_title(job.discovery.model)


def open_result(job: Job) -> NoReturn:
    """Go to what a job saved."""
    _forget(job)
    if job.kind == "discovery":
        state.select_run(str(job.run_id))
        st.switch_page("pages/overview.py")
    state.select_run(Path(job.tuning.run).name)
    state.choose(tuning=job.tuning_id)
    st.switch_page("pages/tuning.py")


def _jobs(kind: JobKind) -> list[Job]:
    """The newest first; none where they cannot be read, which the list of jobs says."""
    try:
        return [job for job in services.runner().jobs() if job.kind == kind]
    except CircuitvizError:
        return []


def _started_here(job: Job) -> bool:
    return st.session_state.get(WATCHED[job.kind]) == job.job_id


def _forget(job: Job) -> None:
    if _started_here(job):
        del st.session_state[WATCHED[job.kind]]
    st.session_state.pop(_stop_key(job.job_id), None)


def _seen_at_work(job: Job) -> bool:
    # Streamlit forgets a widget once a page is drawn without it.
    return _stop_key(job.job_id) in st.session_state


def _stop_key(job_id: str) -> str:
    return f"stop_{job_id}"


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


def _progress_bar(job: Job, text: str) -> None:
    """How far the job is, in a bar with a text, and the button that stops it."""
    fraction = job.progress.fraction if job.progress else 0.0
    bar, stop = st.columns([5, 1], vertical_alignment="bottom")
    bar.progress(min(1.0, max(0.0, fraction)), text=text)
    stop.container(key="stop").button(
        "Stopping\u2026" if job.stopping else "Stop",
        icon=":material/stop:",
        key=_stop_key(job.job_id),
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
    except CircuitvizError as failure:
        st.toast(literal(str(failure)), icon=":material/error:")
