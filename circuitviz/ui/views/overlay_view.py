"""Several runs of one model on the same axes, and a form that runs another method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from circuitviz.discovery.methods import METHODS
from circuitviz.errors import CircuitvizError
from circuitviz.plots.catalogue import BANDS, Chart, frontier_note, judges_note
from circuitviz.plots.comparison_frame import judged_alike, overlay_frame, summary_frame
from circuitviz.plots.curves import overlay_curve
from circuitviz.plots.palette import SERIES_LABELS
from circuitviz.plots.text import count
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import Run
from circuitviz.ui import services, state
from circuitviz.ui.choice import MOST_COMPARED, Choice
from circuitviz.ui.elements.components import draw_chart
from circuitviz.ui.elements.keys import listing_key, when_changed
from circuitviz.ui.elements.table import table
from circuitviz.ui.elements.words import literal
from circuitviz.ui.jobs.job_start import start
from circuitviz.ui.run_names import method_title, run_labels

PICKER, SERIES, METHOD = "compare_picker", "overlay_series", "other_method"
AREA_HELP = (
    "how much of the behaviour is gone by each size at most, averaged over sizes on a log scale; "
    "0 to 1, higher is better."
)


def comparison_picker(run: Run, choice: Choice, label: str) -> None:
    """Which other saved runs of the same model stand beside the chosen one."""
    others = _siblings(run)
    if not others:
        st.caption(
            "No other saved run of this model yet. Another seed or another method gives one."
        )
        return
    labels = run_labels({run.run_id: run.config, **others})
    key = listing_key(PICKER, labels.values())
    st.session_state[key] = [run_id for run_id in choice.compare if run_id in others]
    st.multiselect(
        label,
        list(others),
        key=key,
        format_func=labels.__getitem__,
        max_selections=MOST_COMPARED,
        placeholder="other seeds, methods or settings of this model",
        on_change=when_changed(key, lambda names: state.choose(compare=tuple(names))),
    )


def _siblings(run: Run) -> dict[str, DiscoveryConfig]:
    return {
        run_id: config
        for run_id, config in services.run_configs().items()
        if config.model == run.config.model and run_id != run.run_id
    }


def compared_runs(run: Run, choice: Choice) -> tuple[dict[str, Run], list[str]]:
    """The chosen run and those beside it by label, and what could not be compared, in words."""
    found, problems = {run.run_id: run}, []
    for run_id in choice.compare:
        try:
            other = services.load_run(run_id)
        except CircuitvizError as error:
            problems.append(str(error))
            continue
        if other.config.model != run.config.model or other.space != run.space:
            problems.append(
                f"{run_id} is a run of another model "
                f"({services.model_title(other.config.model)}); units of different models are not "
                f"the same units, so only runs of {services.model_title(run.config.model)} are "
                "compared."
            )
            continue
        found[run_id] = other
    labels = run_labels({run_id: other.config for run_id, other in found.items()})
    return {labels[run_id]: other for run_id, other in found.items()}, problems


def overlay(runs: Mapping[str, Run]) -> None:
    """One rate of all runs on the same axes, never of two judges, and their frontier areas."""
    first = next(iter(runs.values()))
    series = str(
        st.segmented_control(
            "What to compare",
            list(SERIES_LABELS),
            default="asr",
            format_func=SERIES_LABELS.__getitem__,
            key=SERIES,
            required=True,
        )
    )
    drawn, judged_otherwise = judged_alike(runs, series)
    for label, judge in judged_otherwise.items():
        st.warning(
            f"{literal(label)} is not drawn: it was judged by \u201c{literal(judge)}\u201d, "
            "and rates of two judges are not comparable.",
            icon=":material/gavel:",
        )
    found = overlay_frame(drawn, series)
    kinds = sorted({run.config.ablation for run in drawn.values()})
    lines = Chart(
        overlay_curve(found, order=list(runs), series=series, n_units=len(first.space)),
        f"{count(len(drawn), 'run')}; a ring marks the size each one chose. "
        f"{frontier_note(first)}. Test split."
        + (f" Ablations differ: {', '.join(kinds)}." if len(kinds) > 1 else ""),
        f"{SERIES_LABELS[series]} against circuit size on a log axis, one line per run.",
        found,
        "Each line is one run: the size of its circuit across, on a log scale, and the chosen rate "
        "upwards. The better ranking changes attack success with fewer units, further left. "
        f"{BANDS} Only runs of one judge are drawn together, and with different ablations lines "
        "are not comparable.",
    )
    draw_chart(lines, key="overlay")
    table(summary_frame(runs), key="overlay_summary")
    st.caption(
        f"Circuit off, test prompts. {judges_note(*runs.values())} Frontier area: {AREA_HELP}"
    )


def method_form(run: Run) -> None:
    """Start a method that was not yet run with these settings, from here."""
    left = [name for name in METHODS if _not_run(replace_method(run.config, name))]
    if not left:
        st.caption("Every method has been run with these settings.")
        return
    with st.container(border=True, key="method_form"):
        name = st.selectbox(
            "Run another method",
            left,
            format_func=method_title,
            key=listing_key(METHOD, left),
        )
        card = METHODS[name]
        st.caption(f"{card.summary}  \nSource: {card.paper}")
        config = replace_method(run.config, name)
        running = services.active_job_of(config) is not None
        pressed = st.button(
            "Run it with the settings of this run",
            icon=":material/play_arrow:",
            key="run_method",
            disabled=running,
        )
        if pressed and start(config):
            st.rerun()
        if running:
            st.info(
                f"{card.title} is running; its run can be chosen above once it is done.",
                icon=":material/hourglass_top:",
            )
            st.page_link(
                "pages/discover.py",
                label="Watch it on Discover",
                icon=":material/travel_explore:",
            )


def replace_method(config: DiscoveryConfig, method: str) -> DiscoveryConfig:
    """The same settings with another method; what only one method has is left out."""
    if method == config.method:
        return config
    return replace(config, method=method, l1_weight=None, controls=False)


def _not_run(config: DiscoveryConfig) -> bool:
    return services.saved_run_of(config) is None
