"""Starting a job: the button, and the job it submits."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.models.fetch import require_fetched
from circuitviz.models.source import unfetched_model
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.job import JobConfig, JobKind
from circuitviz.runs.tuning_config import TuningConfig
from circuitviz.ui import services
from circuitviz.ui.elements.components import error
from circuitviz.ui.jobs.job_watch import watch

# What each kind leaves behind, in a word.
RESULTS: dict[JobKind, str] = {"discovery": "run", "tuning": "tuning"}


def start(config: JobConfig) -> bool:
    """Submit a job and watch it; a second click finds the job of the first and submits none.

    Returns:
        Whether there is a job to watch; where there is none, it is said why.
    """
    try:
        if not isinstance(config, TuningConfig):
            _require_weights(config)
        job_id = _active_job_of(config) or services.runner().submit(config)
    except CircuitvizError as failure:
        error(str(failure))
        return False
    watch(job_id, _kind(config))
    return True


def start_button(config: JobConfig, *, saved: bool, key: str, opener: Callable[[], None]) -> None:
    """Start, and beside it what opens the same work where it has been done before.

    Args:
        config: What is started: as it is in the run of the script that gets the click, which has
            the values that were typed just before it.
        saved: Whether a result of exactly this configuration is there.
        key: Of the button.
        opener: Draws what opens that result.
    """
    kind = _kind(config)
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


def _kind(config: JobConfig) -> JobKind:
    return "tuning" if isinstance(config, TuningConfig) else "discovery"


def _require_weights(config: DiscoveryConfig) -> None:
    """Refuse a model that has yet to be fetched; what else is wrong with it, the job tells.

    Raises:
        ModelNotFetchedError: It has.
    """
    missing = unfetched_model(config.model, config.adapter)
    if missing is not None:
        require_fetched(missing)


def _active_job_of(config: JobConfig) -> str | None:
    if not isinstance(config, TuningConfig):
        return services.active_job_of(config)
    same = (job for job in services.runner().jobs() if job.active and job.config == config)
    return next((job.job_id for job in same), None)
