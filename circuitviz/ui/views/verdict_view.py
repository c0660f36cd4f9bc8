"""The verdict panel: did the checks that must fail to find anything fail?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

import streamlit as st

from circuitviz.models.source import unfetched_model
from circuitviz.plots.verdict import Verdict, controls_run, verdict_summary, verdicts
from circuitviz.runs.store import Run
from circuitviz.ui import services
from circuitviz.ui.discover.live import launch, watch
from circuitviz.ui.elements.fetch_button import fetch_button

COST = "about a minute"
# Sign, class and word of each verdict: never told by the colour alone.
SIGNS = {
    True: ("\u2713", "cv-yes", "passes"),
    False: ("\u2717", "cv-no", "FAILS"),
    None: ("\u2013", "", "does not apply"),
}
NOT_RUN = ("?", "", "not run yet")


def verdict_panel(run: Run) -> None:
    """The summary and the four controls; where they were not run, the button that runs them."""
    found, done = verdicts(run), controls_run(run)
    st.html(_summary_html(found) + verdict_html(found, done=done))
    if not done:
        _offer(run)


def _summary_html(found: Sequence[Verdict]) -> str:
    sign, tone, word = NOT_RUN
    if any(verdict.passed is not None for verdict in found):
        sign, tone, word = SIGNS[all(verdict.passed is not False for verdict in found)]
    return (
        f'<p class="cv-summary {tone}" role="status"><span class="cv-sign" role="img" '
        f'aria-label="{word}">{sign}</span> {escape(verdict_summary(found))}</p>'
    )


def verdict_html(found: Sequence[Verdict], *, done: bool) -> str:
    """The controls side by side, each with sign, word, number and sentence; all escaped."""
    return (
        '<div class="cv-controls" role="list">'
        + "".join(_control_html(verdict, done) for verdict in found)
        + "</div>"
    )


def _control_html(verdict: Verdict, done: bool) -> str:
    sign, tone, word = SIGNS[verdict.passed] if done else NOT_RUN
    optional = (("value", verdict.number), ("title", verdict.title))
    parts = [f'<div class="cv-{name}">{escape(text)}</div>' for name, text in optional if text]
    note = f'<div class="cv-note">{escape(verdict.evidence)}</div>' if verdict.evidence else ""
    return (
        f'<div class="cv-control {tone}" role="listitem">'
        f'<div class="cv-word"><span class="cv-sign" aria-hidden="true">{sign}</span> {word}</div>'
        f'<div class="cv-label">{escape(verdict.label)}</div>{"".join(parts)}'
        f'<div class="cv-finding">{escape(verdict.sentence)}</div>{note}</div>'
    )


def _offer(run: Run) -> None:
    config = replace(run.config, controls=True)
    job_id = services.active_job_of(config)
    if job_id is not None:
        watch(job_id)
        st.info("The controls of this run are being carried out.", icon=":material/hourglass_top:")
        st.page_link(
            "pages/discover.py", label="Watch them on Discover", icon=":material/travel_explore:"
        )
        return
    missing = unfetched_model(config.model, config.adapter)
    if missing is not None:
        fetch_button(missing, "controls")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            "Run the controls", type="primary", icon=":material/fact_check:", key="run_controls"
        )
        st.caption(
            f"The discovery runs again with the same settings, and then the controls, {COST} more. "
            "The result replaces this run."
        )
    if pressed:
        launch(config)
