"""The list of recent discoveries and tunings."""

from __future__ import annotations

import time
from html import escape

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.runs.jobs import Job
from circuitviz.ui import services
from circuitviz.ui.elements.components import error
from circuitviz.ui.jobs.job_watch import job_title, open_result
from circuitviz.ui.run_names import method_note, tuning_note

MAX_LISTED = 12
STATE_SIGNS = {
    "queued": ("\u2026", "", "waiting"),
    "running": ("\u25b6", "", "running"),
    "done": ("\u2713", "cv-yes", "done"),
    "failed": ("\u2717", "cv-no", "failed"),
    "cancelled": ("\u25a0", "", "stopped"),
}


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
    failure = f'<div class="cv-reason">{escape(job.error)}</div>' if job.error else ""
    return (
        f'<div class="cv-job"><span class="cv-sign {tone}" aria-hidden="true">{sign}</span>'
        f"<div><b>{escape(model)}</b> {word}, {since(now - job.submitted)}{took}"
        f'<div class="cv-finding">{escape(_note(job))}</div>{failure}</div>'
        "</div>"
    )


def _note(job: Job) -> str:
    if job.kind == "tuning":
        return tuning_note(job.tuning)
    return method_note(job.discovery) + (" \u00b7 with controls" if job.discovery.controls else "")


def since(seconds: float) -> str:
    """`just now`, `5 min ago`, `3 h ago`, `2 days ago`."""
    if seconds < 60:
        return "just now"
    for unit, length, most in (("min", 60, 90), ("h", 3600, 48)):
        if seconds / length < most:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds / 86400:.0f} days ago"
