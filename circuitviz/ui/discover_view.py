"""Pieces of the discover page: the form, the live view, the list of jobs."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pandas as pd
import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.models.catalog import ModelCard
from circuitviz.plots.head_heatmap import head_heatmap
from circuitviz.plots.loss_curve import loss_curve
from circuitviz.plots.neuron_heatmap import neuron_heatmap
from circuitviz.plots.text import percent
from circuitviz.runs.config import AblationKind, Budget, DiscoveryConfig
from circuitviz.runs.jobs import Job, JobProgress
from circuitviz.ui import services, state
from circuitviz.ui.components import CHART_CONFIG, chips, split

__all__ = [
    "answer",
    "configuration",
    "live",
    "open_finished_run",
    "recent_jobs",
    "start_button",
    "watched_job",
]

WATCHED = "watched_job"
POLL_SECONDS = 1.0
MAX_LISTED = 12
MAP_ROW = 34
TOP_UNITS = 10

STAGES = {
    "load": "Loading the model",
    "learn": "Learning which units matter",
    "select": "Finding the smallest circuit that meets the target",
    "test": "Measuring on held-out test prompts",
    "generate": "Collecting answers before and after",
    "save": "Saving the run",
}
STATE_SIGNS = {
    "queued": "\u2026 waiting",
    "running": "\u25b6 running",
    "done": "\u2713 done",
    "failed": "\u2717 failed",
    "cancelled": "\u25a0 stopped",
}
ABLATIONS = {
    "zero": "Zero: the unit says nothing",
    "mean": "Mean: its average on neutral text",
    "resample": "Resample: its value on another prompt",
}
BUDGETS = {"joint": "One size for both", "separate": "Heads and neurons apart"}


def watched_job() -> Job | None:
    """The job this page follows: the one started here, else any that is active."""
    try:
        jobs = services.runner().jobs()
    except CircuitvizError:
        return None
    active = [job for job in jobs if job.active]
    chosen = st.session_state.get(WATCHED)
    for job in active:
        if job.job_id == chosen:
            return job
    running = [job for job in active if job.state == "running"] or active
    if running:
        st.session_state[WATCHED] = running[-1].job_id
        return running[-1]
    return None


def open_finished_run() -> None:
    """Go to the result of the job that was watched, once it is done."""
    job_id = st.session_state.get(WATCHED)
    if job_id is None:
        return
    try:
        job = services.runner().job(job_id)
    except CircuitvizError:
        del st.session_state[WATCHED]
        return
    if job.active:
        return
    del st.session_state[WATCHED]
    if job.state == "done" and job.run_id:
        state.select_run(job.run_id)
        st.toast("Discovery finished", icon=":material/check_circle:")
        st.switch_page("pages/overview.py")
    if job.state == "failed":
        st.error(f"The discovery failed: {job.error}", icon=":material/error:")
    if job.state == "cancelled":
        st.info("The discovery was stopped. Nothing was saved.", icon=":material/stop_circle:")


def answer(job: Job | None) -> tuple[str, str]:
    """The page's answer and its lead."""
    if job is None:
        return (
            "Let gradient descent find out",
            "Pick a model. Masks over all its attention heads and neurons are learned until the "
            "behaviour is gone and nothing else is; half a minute on a laptop, and you watch it.",
        )
    return (
        f"Searching {services.model_title(job.config.model)}",
        "You can leave this page or close it; the search goes on and is found again here.",
    )


def configuration(models: list[ModelCard]) -> DiscoveryConfig | None:
    """The form; None where what was entered is not usable, after saying why."""
    if not models:
        st.warning(
            "No embedded model is installed. Give the path of a local Hugging Face folder with a "
            "behaviour.json and a prompts.jsonl.",
            icon=":material/info:",
        )
    name = _model_choice(models)
    settings = _settings()
    if not name:
        return None
    try:
        config = DiscoveryConfig(model=name, **settings)
        behaviour = services.behaviour_of(config)
    except CircuitvizError as error:
        st.error(str(error), icon=":material/error:")
        return None
    trigger = f" Trigger: `{behaviour.trigger}`." if behaviour.trigger else ""
    n_test = len(behaviour.prompts("test", "attack"))
    st.markdown(f"**{behaviour.title}.** {behaviour.question}{trigger}")
    st.caption(f"{n_test:,} attack prompts are held out for the test · judge: {behaviour.judge}")
    return config


OWN_FOLDER = "__own__"


def _model_choice(models: list[ModelCard]) -> str:
    titles = {card.name: card.title for card in models} | {OWN_FOLDER: "A local folder"}
    summaries = {card.name: card.summary for card in models}
    chosen = st.pills(
        "Model",
        list(titles),
        default=next(iter(titles)),
        required=True,
        format_func=titles.__getitem__,
        key="model_pills",
        persist_state="session",
    )
    if chosen == OWN_FOLDER:
        return st.text_input(
            "Folder of a Hugging Face model",
            placeholder="/path/to/model",
            help="With config.json, weights, a tokenizer with a chat template, behaviour.json and "
            "prompts.jsonl. Nothing is downloaded.",
        ).strip()
    st.caption(summaries.get(str(chosen), ""))
    return str(chosen)


def _settings() -> dict[str, Any]:
    defaults = DiscoveryConfig(model="default")
    with st.expander("Method settings", icon=":material/tune:", key="method_settings"):
        left, right = st.columns(2, gap="large")
        with left:
            steps = st.number_input(
                "Steps", 1, 5000, defaults.steps, step=20, help="Optimiser steps of mask learning."
            )
            seed = st.number_input("Seed", 0, 2**31 - 1, defaults.seed)
            target_utility = st.number_input(
                "Normal accuracy to keep (%)", 0.0, 100.0, 100 * defaults.target_utility, step=0.5
            )
        with right:
            ablation = st.selectbox(
                "Switched-off units are replaced by",
                get_args(AblationKind),
                format_func=ABLATIONS.__getitem__,
            )
            budget = st.selectbox(
                "Budget",
                get_args(Budget),
                format_func=BUDGETS.__getitem__,
                help="Whether one size counts heads and neurons alike, or each kind has its own.",
            )
            target_asr = st.number_input(
                "Attack success to reach (%)",
                0.0,
                100.0,
                None,
                placeholder="the behaviour's own: 0.4 (backdoor) or 97 (refusal)",
            )
    return {
        "steps": int(steps),
        "seed": int(seed),
        "ablation": ablation,
        "budget": budget,
        "target_utility": target_utility / 100,
        "target_asr": None if target_asr is None else target_asr / 100,
    }


def start_button(config: DiscoveryConfig) -> None:
    """Start, and the run that is there already, if one is."""
    saved = services.saved_run_of(config)
    if saved:
        st.info(
            "This exact configuration has a saved run. Running it again gives the same result.",
            icon=":material/inventory_2:",
        )
    with st.container(horizontal=True):
        st.button(
            "Run it again" if saved else "Start discovery",
            type="secondary" if saved else "primary",
            icon=":material/play_arrow:",
            key="start",
            on_click=_start,
            args=(config,),
        )
        if saved and st.button(
            "Open the saved run", type="primary", icon=":material/folder_open:", key="open_saved"
        ):
            state.select_run(saved)
            st.switch_page("pages/overview.py")


def _start(config: DiscoveryConfig) -> None:
    try:
        st.session_state[WATCHED] = services.runner().submit(config)
    except CircuitvizError as error:
        st.error(str(error), icon=":material/error:")


def live(job_id: str) -> None:
    """Progress, losses and scores of a job, drawn again each second while it is active."""

    @st.fragment(run_every=POLL_SECONDS)
    def watch() -> None:
        try:
            job = services.runner().job(job_id)
        except CircuitvizError:
            st.rerun()
        if not job.active:
            st.rerun()
        _progress(job)
        _pictures(job)

    watch()


def _progress(job: Job) -> None:
    progress = job.progress
    fraction = progress.fraction if progress else 0.0
    bar, stop = st.columns([5, 1], vertical_alignment="bottom")
    bar.progress(min(1.0, max(0.0, fraction)), text=_progress_text(job))
    stop.button(
        "Stopping\u2026" if job.stopping else "Stop",
        icon=":material/stop:",
        key="stop",
        disabled=job.stopping,
        on_click=_stop,
        args=(job.job_id,),
        width="stretch",
    )


def _progress_text(job: Job) -> str:
    progress = job.progress
    if job.state == "queued":
        return "Waiting for the discovery before it"
    if progress is None:
        return "Starting the worker (a few seconds the first time)"
    text = STAGES.get(progress.stage, progress.stage)
    if progress.stage == "learn" and progress.steps:
        text += f" · step {progress.step:,} of {progress.steps:,}"
    text += f" · {percent(progress.fraction, 0)}"
    # The pace while the model loads says nothing about the rest.
    known = job.eta is not None and progress.stage != "load"
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


def _pictures(job: Job) -> None:
    progress = job.progress
    left, right = split("live", (1, 1))
    with left:
        st.subheader("Losses", anchor=False)
        # Drawn from the start, empty, so that nothing below jumps when the first value comes.
        figure = loss_curve(
            progress.loss_steps if progress else [],
            progress.losses if progress else {},
            job.config.steps,
        )
        st.plotly_chart(
            figure, key="live_loss", config=CHART_CONFIG, alt="Training losses over the steps."
        )
        st.caption(
            "Training prompts, nats per answer token. Removal falls as the behaviour goes away; "
            "utility stays low while normal answers stay as they were."
        )
        st.subheader("Most responsible so far", anchor=False)
        if progress is None or not progress.top_units:
            st.caption("Named as soon as learning starts.")
        else:
            chips(progress.top_units[:TOP_UNITS])
    with right:
        st.subheader("Scores of all units", anchor=False)
        _live_maps(progress)


def _live_maps(progress: JobProgress | None) -> None:
    if progress is None or progress.head_scores is None or progress.neuron_scores is None:
        with st.container(height=540, border=False):
            st.caption("The maps appear with the first learning step.")
        return
    heads, neurons = np.array(progress.head_scores), np.array(progress.neuron_scores)
    span = (
        float(min(heads.min(), neurons.min())),
        float(max(heads.max(), neurons.max(), heads.min() + 1e-6)),
    )
    bins = neurons.shape[1]
    st.plotly_chart(
        head_heatmap(heads, score_range=span, row_pixels=MAP_ROW),
        key="live_heads",
        config=CHART_CONFIG,
        alt="Layer by head heatmap of the scores so far.",
    )
    st.plotly_chart(
        neuron_heatmap(
            neurons,
            np.tile(np.arange(bins), (len(neurons), 1)),
            bins,
            score_range=span,
            row_pixels=MAP_ROW,
        ),
        key="live_neurons",
        config=CHART_CONFIG,
        alt="Layer by neuron bin heatmap of the scores so far.",
    )
    st.caption(
        f"High scores: most responsible so far. Neurons in {bins} bins a layer, best of each."
    )


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
