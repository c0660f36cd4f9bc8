"""Work in the background: started by a button, followed on a page from any session, listed."""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import NoReturn

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.jobs.job import Job, JobConfig, JobKind
from circuitviz.models.fetch import require_fetched
from circuitviz.models.source import unfetched_model
from circuitviz.narrative.numbers import percent
from circuitviz.runs.config import TuningConfig
from circuitviz.ui import services, state
from circuitviz.ui.elements.components import error
from circuitviz.ui.elements.words import literal
from circuitviz.ui.run_names import method_note, tuning_note

# The job this session started last.
WATCHED: dict[JobKind, str] = {"discovery": "watched_job", "tuning": "watched_tuning"}
# What each kind leaves behind, in a word.
RESULTS: dict[JobKind, str] = {"discovery": "run", "tuning": "tuning"}
_POLL_SECONDS = 1.0
MAX_LISTED = 12
STATE_SIGNS = {
    "queued": ("\u2026", "", "waiting"),
    "running": ("\u25b6", "", "running"),
    "done": ("\u2713", "cv-yes", "done"),
    "failed": ("\u2717", "cv-no", "failed"),
    "cancelled": ("\u25a0", "", "stopped"),
}


def start(config: JobConfig) -> bool:
    """Submit a job and watch it; a second click finds the job of the first and submits none.

    Returns:
        Whether there is a job to watch; where there is none, it is said why.
    """
    kind: JobKind = "tuning" if isinstance(config, TuningConfig) else "discovery"
    try:
        if isinstance(config, TuningConfig):
            same = (job for job in services.jobs(kind) if job.active and job.config == config)
            active = next((job.job_id for job in same), None)
        else:
            # What else is wrong with the model, the job says.
            missing = unfetched_model(config.model, config.adapter)
            if missing is not None:
                require_fetched(missing)
            active = services.active_job_of(config)
        watch(active or services.runner().submit(config), kind)
    except CircuitvizError as failure:
        error(str(failure))
        return False
    return True


def start_discovery(config: JobConfig) -> None:
    """Submit a discovery from another page than Discover, and go to where it is watched."""
    if start(config):
        st.switch_page("pages/discover.py")


def start_button(config: JobConfig, *, saved: bool, key: str, opener: Callable[[], None]) -> None:
    """Start, and beside it what opens the same work where it has been done before.

    Args:
        config: What is started: as it is in the run of the script that gets the click, which has
            the values that were typed just before it.
        saved: Whether a result of exactly this configuration is there.
        key: Of the button.
        opener: Draws what opens that result.
    """
    kind: JobKind = "tuning" if isinstance(config, TuningConfig) else "discovery"
    if saved:
        st.info(
            f"This exact configuration has a saved {RESULTS[kind]}. Running it again gives the "
            "same result.",
            icon=":material/inventory_2:",
        )
    with st.container(horizontal=True):
        pressed = st.button(
            "Run it again and watch" if saved else f"Start {kind}",
            type="secondary" if saved else "primary",
            icon=":material/play_arrow:",
            key=key,
        )
        if saved:
            opener()
    if pressed and start(config):
        st.rerun()


def watch(job_id: str, kind: JobKind = "discovery") -> None:
    """Follow this job on the page of its kind."""
    st.session_state[WATCHED[kind]] = job_id


def watched_job(kind: JobKind) -> Job | None:
    """The job the page of a kind follows: the one started here, else any that is active."""
    active = [job for job in services.jobs(kind) if job.active]
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
    ended = [job for job in services.jobs(kind) if not job.active]
    shown = [*filter(_seen_at_work, ended)] or [*filter(_started_here, ended)]
    if not shown:
        return
    job = shown[0]
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


def _started_here(job: Job) -> bool:
    return st.session_state.get(WATCHED[job.kind]) == job.job_id


def _seen_at_work(job: Job) -> bool:
    # Streamlit forgets a widget once a page is drawn without it.
    return f"stop_{job.job_id}" in st.session_state


def _forget(job: Job) -> None:
    if _started_here(job):
        del st.session_state[WATCHED[job.kind]]
    st.session_state.pop(f"stop_{job.job_id}", None)


def follow(job_id: str, doing: Callable[[Job], str], draw: Callable[[Job], None]) -> None:
    """Progress and pictures of a job, drawn again each second while it is active.

    Args:
        job_id: The job.
        doing: What it does at the moment, for its bar.
        draw: Draws what there is to see below the bar.
    """

    @st.fragment(run_every=_POLL_SECONDS)
    def again() -> None:
        try:
            job = services.runner().job(job_id)
        except CircuitvizError:
            st.rerun()
        if not job.active:
            st.rerun()
        _progress_bar(job, doing(job))
        draw(job)

    again()


def _progress_bar(job: Job, doing: str) -> None:
    """How far the job is, what it does, and the button that stops it."""
    bar, stop = st.columns([5, 1], vertical_alignment="bottom")
    fraction = job.progress.fraction if job.progress else 0.0
    bar.progress(min(1.0, max(0.0, fraction)), text=_progress_text(job, doing))
    stop.container(key="stop").button(
        "Stopping\u2026" if job.stopping else "Stop",
        icon=":material/stop:",
        key=f"stop_{job.job_id}",
        disabled=job.stopping,
        on_click=_stop,
        args=(job.job_id,),
        width="stretch",
    )


def _progress_text(job: Job, doing: str) -> str:
    """What a job does, how much of it is done, and how long the rest takes."""
    if job.state == "queued":
        return "Waiting for the work before it"
    if job.progress is None:
        return "Starting the worker (a few seconds the first time)"
    text = f"{doing} · {percent(job.progress.fraction, 0)}"
    # The pace while the model loads says nothing about the rest.
    if job.eta is None or job.progress.stage == "load":
        return text
    left = f"{max(1, round(job.eta))} s" if job.eta < 90 else f"{round(job.eta / 60)} min"
    return f"{text} · about {left} left"


def _stop(job_id: str) -> None:
    try:
        services.runner().cancel(job_id)
    except CircuitvizError as failure:
        st.toast(literal(str(failure)), icon=":material/error:")


def recent_jobs() -> None:
    """The latest discoveries and tunings, their states, and why one failed."""
    try:
        jobs = services.runner().jobs()[:MAX_LISTED]
    except CircuitvizError as failure:
        error(str(failure))
        return
    st.header("Recent discoveries and tunings", anchor=False)
    if not jobs:
        st.caption("None yet. The first one you start appears here.")
    now = time.time()
    for job in jobs:
        # Rows, and no table: they wrap where a table would be cut off.
        with st.container(horizontal=True, vertical_alignment="center", key=f"job_{job.job_id}"):
            st.html(job_html(job, job_title(job), now))
            if (job.run_id or job.tuning_id) and st.button(
                "Open", icon=":material/folder_open:", key=f"open_job_{job.job_id}"
            ):
                open_result(job)


def job_html(job: Job, model: str, now: float) -> str:
    """One job: state, model, settings, when and how long, and why it failed."""
    sign, tone, word = STATE_SIGNS[job.state]
    took = (
        f" \u00b7 took {job.finished - job.started:.0f} s" if job.started and job.finished else ""
    )
    if job.kind == "tuning":
        note = tuning_note(job.tuning)
    else:
        controls = " \u00b7 with controls" if job.discovery.controls else ""
        note = method_note(job.discovery) + controls
    failure = f'<div class="cv-reason">{escape(job.error)}</div>' if job.error else ""
    return (
        f'<div class="cv-job"><span class="cv-sign {tone}" aria-hidden="true">{sign}</span>'
        f"<div><b>{escape(model)}</b> {word}, {since(now - job.submitted)}{took}"
        f'<div class="cv-finding">{escape(note)}</div>{failure}</div>'
        "</div>"
    )


def since(seconds: float) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `2 days ago`."""
    if seconds < 60:
        return "just now"
    for unit, length, most in (("min", 60, 90), ("h", 3600, 48)):
        if seconds / length < most:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds / 86400:.0f} days ago"
