"""A tuning at work: followed from any session, its curves drawn each second."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from circuitviz.plots.curves import tuning_curve
from circuitviz.plots.text import count
from circuitviz.plots.tuning_frame import curve_rates, last_epoch, prompts_measured
from circuitviz.plots.tuning_story import arm_title
from circuitviz.runs.jobs import Job
from circuitviz.ui import services
from circuitviz.ui.elements.components import CHART_CONFIG, split
from circuitviz.ui.jobs import follow
from circuitviz.ui.run_names import tuning_note

STAGES = {
    "load": "Loading the model",
    "tune": "Training",
    "test": "Measuring on held-out test prompts",
    "save": "Saving the tuning",
}


def reached(job: Job) -> tuple[str, int | None]:
    """The arm a tuning is, or was, at work on, and how many of its epochs are finished.

    None where the curve does not have the arm, as while refusing is worn away.
    """
    curve = job.progress.curve if job.progress else []
    arm = (job.progress.arm if job.progress else "") or (str(curve[-1]["arm"]) if curve else "")
    return arm, max((int(row["epoch"]) for row in curve if row["arm"] == arm), default=None)


def stopped(job: Job) -> str:
    """What is said of a tuning that was stopped: whether, and from where, it can go on."""
    if job.progress is None or job.progress.stage == "load":
        return "The tuning was stopped before it began to train."
    arm, epoch = reached(job)
    place = (
        "go on"
        if epoch is None
        else f"go on from epoch {epoch} of \u201c{arm_title(job.tuning.mode, arm).lower()}\u201d"
    )
    return (
        "The tuning was stopped. Finished epochs are kept: start it again, with the same "
        f"settings, to {place}."
    )


def live_header(job: Job) -> tuple[str, str]:
    """The page's answer and its lead while a tuning is at work."""
    return (
        f"Tuning {services.run_model_title(job.tuning.run)}",
        f"{tuning_note(job.tuning)}. You can leave this page or close it; the tuning goes on and "
        "is found again here. Stopped, it can go on later from its last finished epoch.",
    )


def live_tuning(job_id: str) -> None:
    """Progress and curves of a tuning, drawn again each second while it is active."""
    follow(job_id, _doing, _curves)


def _curves(job: Job) -> None:
    frame = curve_rates(job.progress.curve if job.progress else [])
    epochs = max(job.tuning.epochs or 0, last_epoch(frame), 1)
    curve_pair(frame, mode=job.tuning.mode, epochs=epochs, key="live")
    st.caption(
        "The first points come with the first measurement."
        if frame.empty
        else f"n = {prompts_measured(frame)} (validation prompts); intervals are 95 % Wilson. "
        "The final numbers come from test prompts."
    )


def curve_pair(frame: pd.DataFrame, *, mode: str, epochs: int, key: str) -> None:
    """Safety and helpfulness over the epochs, side by side."""
    for column, series in zip(
        split(f"{key}_curves", (1, 1)), ("safety", "helpfulness"), strict=True
    ):
        column.plotly_chart(
            tuning_curve(frame, series=series, mode=mode, epochs=epochs),
            key=f"{key}_{series}",
            config=CHART_CONFIG,
            alt=f"{series.capitalize()} after each epoch, one line per trained model.",
        )


def _doing(job: Job) -> str:
    progress = job.progress
    if progress is None:
        return ""
    text = STAGES.get(progress.stage, progress.stage)
    if progress.arm:
        text += f", {arm_title(job.tuning.mode, progress.arm).lower()}"
    if progress.stage == "tune":
        _, epoch = reached(job)
        text += (
            f" · step {progress.step:,} of {progress.steps:,}"
            if epoch is None
            else f" · {count(epoch, 'epoch')} done"
        )
    return text
