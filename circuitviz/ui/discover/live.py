"""A discovery at work: followed from any session, drawn each second, stopped on request."""

from __future__ import annotations

import numpy as np
import streamlit as st

from circuitviz.discovery.methods import METHODS
from circuitviz.jobs.job import Job
from circuitviz.jobs.progress import JobProgress
from circuitviz.narrative.numbers import count
from circuitviz.plots.catalogue import Chart
from circuitviz.plots.curves import loss_curve, loss_frame
from circuitviz.plots.maps import MapOptions, head_heatmap, neuron_heatmap
from circuitviz.tables.rows import matrix_frame
from circuitviz.ui import services
from circuitviz.ui.elements.components import CHART_CONFIG, chips, draw_chart, split, table_twin
from circuitviz.ui.elements.words import how_to_read
from circuitviz.ui.jobs import follow
from circuitviz.ui.run_names import GRANULARITIES, method_title

MAP_ROW = 34
_TOP_UNITS = 10
NO_LOSS_PIXELS = 120
MAPS_HELP = (
    "Rows are layers; columns are heads above and bins of neurons below. Scores of this moment: "
    "cells that stay dark over many steps are the likely circuit. What lights up early often goes "
    "again, so wait for the end."
)
_STAGES = {
    "load": "Loading the model",
    "learn": "Learning which units matter",
    "select": "Finding the smallest circuit that meets the target",
    "test": "Measuring on held-out test prompts",
    "generate": "Collecting answers before and after",
    "refine": "Dropping units that are not needed",
    "controls": "Running the controls: each of them should find nothing",
    "evidence": "Gathering evidence: other ablations, judges and the circuit alone",
    "save": "Saving the run",
}


def discovery_answer(job: Job | None) -> tuple[str, str]:
    """The page's answer and its lead."""
    if job is None:
        return (
            "Let gradient descent find out",
            "Pick a model. Masks over all its attention heads and neurons are learned until the "
            "behaviour is gone and nothing else is; on a laptop half a minute for a specimen and "
            "some fifteen minutes for a real model, and you watch it. "
            "Other methods are among the settings.",
        )
    config = job.discovery
    controls = " The controls run after it." if config.controls else ""
    return (
        f"Searching {services.model_title(config.model)}",
        f"{method_title(config.method)}, {GRANULARITIES[config.granularity]}, seed {config.seed}."
        f"{controls} You can leave this page or close it; the search goes on and is found again "
        "here.",
    )


def live(job_id: str) -> None:
    """Progress, losses and scores of a job, drawn again each second while it is active."""
    follow(job_id, _doing, _pictures)


def _doing(job: Job) -> str:
    progress = job.progress
    if progress is None:
        return ""
    text = _STAGES.get(progress.stage, progress.stage)
    if progress.stage == "learn" and progress.steps:
        text += f" · step {progress.step:,} of {progress.steps:,}"
    return f"{text} · {progress.detail}" if progress.detail else text


def _pictures(job: Job) -> None:
    progress = job.progress
    left, right = split("live", (1, 1))
    with left:
        _losses(job)
        st.header("Most responsible so far", anchor=False)
        if progress is None or not progress.top_units:
            st.caption("Named as soon as learning starts.")
        else:
            chips(progress.top_units[:_TOP_UNITS])
    with right:
        st.header("Scores of all units", anchor=False)
        _live_maps(progress)


def _losses(job: Job) -> None:
    progress = job.progress
    st.header("Losses", anchor=False)
    if not METHODS[job.discovery.method].has_losses and not (progress and progress.losses):
        with st.container(height=NO_LOSS_PIXELS, border=False):
            st.caption(
                f"None: {method_title(job.discovery.method).lower()} scores units directly and "
                "learns nothing step by step."
            )
        return
    # Drawn from the start, empty, so that nothing below jumps when the first value comes.
    steps = progress.loss_steps if progress else []
    losses = progress.losses if progress else {}
    lines = Chart(
        loss_curve(steps, losses, _total_steps(job)),
        caption=_loss_caption(progress),
        alt="Training losses over the steps.",
        twin=loss_frame(steps, losses),
        reading="Across: steps of learning. Upwards: losses in nats for each answer token. Removal "
        "falls as the behaviour goes, utility stays near 0 while normal answers are kept. Losses "
        "of training prompts are no result: only the test prompts at the end are.",
    )
    draw_chart(lines, key="live_loss")


def _total_steps(job: Job) -> int:
    """Steps of the learner: it says so while it learns, and afterwards the last one is known."""
    progress = job.progress
    if progress is None or (progress.stage != "learn" and not progress.loss_steps):
        return job.discovery.steps
    return progress.steps if progress.stage == "learn" else progress.loss_steps[-1]


def _loss_caption(progress: JobProgress | None) -> str:
    text = "Training prompts, nats per answer token."
    if progress is not None and progress.edge is not None:
        text += (
            f" Circuits of **about {count(round(progress.edge), 'unit')}** are tried now. Once one "
            "removes the behaviour smaller ones are tried, so the removal loss climbs again while "
            "the circuit shrinks."
        )
    else:
        text += " Removal falls as the behaviour goes away."
    return f"{text} Utility stays low while normal answers stay as they were."


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
    options = MapOptions(score_range=span, row_pixels=MAP_ROW)
    bins = neurons.shape[1]
    st.plotly_chart(
        head_heatmap(heads, options=options),
        key="live_heads",
        config=CHART_CONFIG,
        alt="Layer by head heatmap of the scores so far.",
    )
    st.plotly_chart(
        neuron_heatmap(neurons, options=options),
        key="live_neurons",
        config=CHART_CONFIG,
        alt="Layer by neuron bin heatmap of the scores so far.",
    )
    st.caption(
        f"High scores: most responsible so far. Neurons in {bins} bins a layer, best of each."
    )
    how_to_read(MAPS_HELP, key="live_maps")
    table_twin(matrix_frame(heads), key="live_heads_table")
