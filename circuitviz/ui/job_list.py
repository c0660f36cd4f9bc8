"""The list of recent discoveries."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.runs.jobs import Job
from circuitviz.ui import services, state

__all__ = ["recent_jobs"]

MAX_LISTED = 12
STATE_SIGNS = {
    "queued": "\u2026 waiting",
    "running": "\u25b6 running",
    "done": "\u2713 done",
    "failed": "\u2717 failed",
    "cancelled": "\u25a0 stopped",
}


def recent_jobs() -> None:
    """The latest discoveries, their states, and why one failed."""
    try:
        jobs = services.runner().jobs()[:MAX_LISTED]
    except CircuitvizError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.subheader("Recent discoveries", anchor=False)
    if not jobs:
        st.caption("None yet. The first one you start appears here.")
        return
    frame = pd.DataFrame([_job_row(job) for job in jobs])
    picked = st.dataframe(
        frame,
        hide_index=True,
        key="jobs",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "started": st.column_config.DatetimeColumn("started", format="distance"),
            "reason": st.column_config.TextColumn("reason", width="large"),
        },
    )
    rows = picked.selection.rows
    job = jobs[rows[0]] if rows and rows[0] < len(jobs) else None
    if job is None:
        st.caption("Select a row to open its result.")
    elif job.run_id and st.button(
        "Open this result", icon=":material/folder_open:", key="open_job"
    ):
        state.select_run(job.run_id)
        st.switch_page("pages/overview.py")
    elif job.error:
        st.error(job.error, icon=":material/error:")


def _job_row(job: Job) -> dict[str, object]:
    return {
        "state": STATE_SIGNS[job.state],
        "model": services.model_title(job.config.model),
        "seed": job.config.seed,
        "steps": job.config.steps,
        "ablation": job.config.ablation,
        "started": pd.Timestamp(job.submitted, unit="s", tz="UTC"),
        "seconds": round(job.finished - job.started) if job.started and job.finished else None,
        "reason": job.error or "",
    }
