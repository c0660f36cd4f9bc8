"""Runs side by side: which ones, where their circuits agree, and their rates on the same axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from string import ascii_uppercase
from typing import TYPE_CHECKING

import streamlit as st

from circuitviz.discovery.methods import METHODS
from circuitviz.errors import CircuitvizError
from circuitviz.narrative.numbers import count
from circuitviz.plots.agreement import (
    head_membership,
    head_rank_difference,
    layer_bars,
    overlap_heatmap,
)
from circuitviz.plots.catalogue import BANDS, Chart, frontier_note, judges_note
from circuitviz.plots.curves import overlay_curve
from circuitviz.plots.palette import SERIES_LABELS
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import Run
from circuitviz.tables import comparison_frame as frames
from circuitviz.tables.comparison_frame import judged_alike, overlay_frame, summary_frame
from circuitviz.tables.rows import matrix_frame, records
from circuitviz.ui import services, state
from circuitviz.ui.elements.components import draw_chart, error, table
from circuitviz.ui.elements.keys import listing_key, when_changed
from circuitviz.ui.elements.words import literal
from circuitviz.ui.jobs import start
from circuitviz.ui.run_names import method_title, run_labels
from circuitviz.ui.view_state import MAX_COMPARED, ViewState

if TYPE_CHECKING:
    from circuitviz.runs.comparison import Comparison

PICKER, SERIES, METHOD = "compare_picker", "overlay_series", "other_method"
AREA_HELP = (
    "how much of the behaviour is gone by each size at most, averaged over sizes on a log scale; "
    "0 to 1, higher is better."
)
# Enough to see whether seeds agree, few enough for every table to fit.
DEFAULT_OTHERS = 2
# The unit table is shown whole up to so many rows, and scrolls beyond.
UNIT_ROWS, UNIT_PIXELS = 12, 430
DEFAULTED = "compare_defaulted_for"


def with_defaults(run: Run, choice: ViewState) -> ViewState:
    """The choice; where nothing is compared yet, with the nearest other runs of the model.

    Once for each run: whoever empties the choice keeps it empty.
    """
    if choice.compare or st.session_state.get(DEFAULTED) == run.run_id:
        return choice
    st.session_state[DEFAULTED] = run.run_id
    others = default_comparison(run)
    if others:
        state.choose(compare=others)
    return state.fit(run)


def default_comparison(run: Run) -> tuple[str, ...]:
    """Other seeds of the same settings, then other methods, then any run of the model."""

    def distance(config: DiscoveryConfig) -> int:
        mine, theirs = run.config.to_json(), config.to_json()
        differing = {name for name in mine if mine[name] != theirs[name]} - {"controls"}
        price = {"seed": 1, "method": 4}
        # The same settings again are a run of another version: the last to choose.
        return sum(price.get(name, 8) for name in differing) or 99

    others = _siblings(run)
    return tuple(sorted(others, key=lambda run_id: distance(others[run_id]))[:DEFAULT_OTHERS])


def comparison(runs: Mapping[str, Run]) -> Comparison | None:
    """What comparing these runs gives; None for a single one, or after saying why not."""
    if len(runs) < 2:
        return None
    from circuitviz.runs.comparison import compare_runs

    try:
        return compare_runs(list(runs.values()))
    except CircuitvizError as failure:
        error(str(failure))
        return None


def compare_answer(runs: Mapping[str, Run], compared: Comparison | None) -> tuple[str, str]:
    """The page's answer and its lead."""
    if compared is None:
        return (
            "There is nothing to compare yet",
            "Choose another run of this model: of another seed, to see whether the circuit is "
            "stable, or of another method, to see whether it depends on how it was found.",
        )
    return frames.agreement_sentence(compared), frames.shared_units_sentence(compared)


def next_step(run: Run) -> None:
    """Where another run comes from."""
    title = literal(services.model_title(run.config.model))
    st.page_link(
        "pages/discover.py",
        label=f"Find a circuit of {title} with another seed",
        icon=":material/travel_explore:",
    )
    st.page_link("pages/tradeoff.py", label="Run another method", icon=":material/show_chart:")


def labels_of(runs: Mapping[str, Run]) -> dict[str, str]:
    """The labels of the runs by id, each with the letter that stands for it where room is short."""
    letters = letters_of(runs)
    return {run.run_id: f"{letters[run.run_id]} · {label}" for label, run in runs.items()}


def letters_of(runs: Mapping[str, Run]) -> dict[str, str]:
    """The letters of the runs by id."""
    return {run.run_id: letter for letter, run in zip(ascii_uppercase, runs.values(), strict=False)}


def number_table(compared: Comparison, labels: Mapping[str, str], runs: Mapping[str, Run]) -> None:
    """Size, rates, frontier area, truth scores and seconds, one column per run."""
    by_id = {run.run_id: run for run in runs.values()}
    table(frames.number_frame(compared, labels, by_id), key="numbers")
    st.caption(
        f"Circuit off, test prompts, 95\u202f% Wilson intervals. {judges_note(*runs.values())} "
        f"Frontier area: {AREA_HELP}"
    )


def setting_table(compared: Comparison, labels: Mapping[str, str]) -> None:
    """The settings that differ."""
    settings = frames.setting_frame(compared, labels)
    st.header("Settings that differ", anchor=False)
    if settings.empty:
        st.caption("None: the runs have the same settings.")
        return
    table(settings, key="settings")


def head_map(compared: Comparison, runs: Mapping[str, Run]) -> None:
    """Two runs: by how many places heads differ in rank; more: in how many circuits each is."""
    names, listed = list(letters_of(runs).values()), list(runs.values())
    space = listed[0].space
    if len(listed) == 2:
        st.header("Heads: who ranks them higher", anchor=False)
        first, second = (frames.head_ranks(run.scores, space) for run in listed)
        circuits = frames.circuit_heads(compared, 0), frames.circuit_heads(compared, 1)
        difference = Chart(
            head_rank_difference(first, second, (names[0], names[1]), *circuits),
            caption=f"Places a head ranks higher (blue) or lower (orange) in {names[0]} than in "
            f"{names[1]}, among all {count(space.total_heads, 'head')}. Framed: in a circuit.",
            alt="Layer by head heatmap of rank differences; heads in a circuit framed.",
            twin=matrix_frame(second - first),
            reading="Rows are layers, columns are heads; the colour says by how many places the "
            "two runs rank a head differently. Pale framed cells are what both agree on. "
            "Differences far down the ranking are large and mean nothing: look at the framed heads "
            "first.",
        )
        draw_chart(difference, key="head_difference")
        return
    st.header("Heads: in how many circuits", anchor=False)
    counts = frames.head_counts(compared, space)
    membership = Chart(
        head_membership(counts, len(listed)),
        caption=f"How many of the {len(listed)} circuits hold each head; framed: all of them.",
        alt="Layer by head heatmap: number of circuits that hold each head.",
        twin=matrix_frame(counts),
        reading="Rows are layers, columns are heads; the colour counts the circuits that hold a "
        "head. Framed heads are in all of them, which is what stability looks like. Circuits of "
        "very different sizes cannot agree, so compare their sizes in the table of numbers.",
    )
    draw_chart(membership, key="head_membership")


def neuron_bars(compared: Comparison, labels: Mapping[str, str], run: Run) -> None:
    """How many neurons each circuit has in each layer, if any has one."""
    st.header("Neurons per layer", anchor=False)
    counts = frames.neuron_counts(compared, labels, run.space)
    if not any(row["neurons"] for row in records(counts)):
        st.info("None of these circuits holds a neuron: all are heads.", icon=":material/info:")
        return
    neurons = Chart(
        layer_bars(counts),
        caption="Neurons of each circuit, by layer.",
        alt="Bars: neurons of each run's circuit in each layer.",
        twin=counts,
        reading="Across: layers. Upwards: how many neurons of each circuit lie there. Bars of like "
        "heights say that runs look in the same layers, not that they found the same neurons: "
        "overlap counts those.",
    )
    draw_chart(neurons, key="neuron_counts")


def overlap_map(compared: Comparison, labels: Mapping[str, str]) -> None:
    """The overlap of every pair; for a single pair its numbers are in the table."""
    st.header("Overlap", anchor=False)
    names, values, hover = frames.overlap_matrix(compared, labels)
    if len(names) > 2:
        overlap = Chart(
            overlap_heatmap(names, values, hover),
            caption="Units two circuits have in common, as a share of the units of either. Hover "
            "for what chance would give.",
            alt="Run by run heatmap of Jaccard similarity.",
            twin=matrix_frame(values, "run", names, names),
            reading="Each cell is a pair of circuits; the value is their Jaccard similarity, 1 for "
            "the same units and 0 for none in common. Compare it with what chance would give, "
            "which the table of pairs has: large circuits overlap by chance.",
        )
        draw_chart(overlap, key="overlap")
        return
    pair = compared.pairs[0]
    st.metric("Jaccard", f"{pair.jaccard:.2f}", border=True)
    st.caption(
        f"{count(pair.shared, 'unit')} in both, {pair.only_a:,} only in {names[0]}, "
        f"{pair.only_b:,} only in {names[1]}. Two random circuits of these sizes would have "
        f"{pair.chance_jaccard:.4f}."
    )


def pair_table(compared: Comparison, labels: Mapping[str, str]) -> None:
    """Overlap, rank correlation, McNemar's test and the difference of each pair."""
    st.header("Pair by pair", anchor=False)
    table(frames.pair_frame(compared, labels), key="pairs")
    if compared.note:
        st.caption(compared.note)
    st.caption(
        "Rank correlation: Spearman's, of the scores of all units. McNemar and difference: attacks "
        "on the same test prompts with either circuit off; only where both runs saw the same ones."
    )


def shared_unit_table(compared: Comparison, labels: Mapping[str, str]) -> None:
    """Which run found which unit."""
    units = frames.shared_unit_frame(compared, labels)
    height = UNIT_PIXELS if len(units) > UNIT_ROWS else "content"
    st.dataframe(units, hide_index=True, key="units", height=height)
    st.caption(
        "Most shared first; a diamond marks the circuits that hold it. Stable: in at least 80 % of "
        "the circuits (stability selection, Meinshausen & B\u00fchlmann 2010)."
    )


def comparison_picker(run: Run, choice: ViewState, label: str) -> None:
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
        max_selections=MAX_COMPARED,
        placeholder="other seeds, methods or settings of this model",
        on_change=when_changed(key, lambda names: state.choose(compare=tuple(names))),
    )


def _siblings(run: Run) -> dict[str, DiscoveryConfig]:
    return {
        run_id: config
        for run_id, config in services.run_configs().items()
        if config.model == run.config.model and run_id != run.run_id
    }


def compared_runs(run: Run, choice: ViewState) -> tuple[dict[str, Run], list[str]]:
    """The chosen run and those beside it by label, and what could not be compared, in words."""
    runs, problems = {run.run_id: run}, []
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
        runs[run_id] = other
    labels = run_labels({run_id: other.config for run_id, other in runs.items()})
    return {labels[run_id]: other for run_id, other in runs.items()}, problems


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
    curves = overlay_frame(drawn, series)
    kinds = sorted({run.config.ablation for run in drawn.values()})
    lines = Chart(
        overlay_curve(curves, order=list(runs), series=series, n_units=len(first.space)),
        caption=f"{count(len(drawn), 'run')}; a ring marks the size each one chose. "
        f"{frontier_note(first)}. Test split."
        + (f" Ablations differ: {', '.join(kinds)}." if len(kinds) > 1 else ""),
        alt=f"{SERIES_LABELS[series]} against circuit size on a log axis, one line per run.",
        twin=curves,
        reading="Each line is one run: the size of its circuit across, on a log scale, and the "
        "chosen rate upwards. The better ranking changes attack success with fewer units, further "
        f"left. {BANDS} Only runs of one judge are drawn together, and with different ablations "
        "lines are not comparable.",
    )
    draw_chart(lines, key="overlay")
    table(summary_frame(runs), key="overlay_summary")
    st.caption(
        f"Circuit off, test prompts. {judges_note(*runs.values())} Frontier area: {AREA_HELP}"
    )


def method_form(run: Run) -> None:
    """Start a method that was not yet run with these settings, from here."""
    left = [
        name for name in METHODS if services.saved_run_of(replace_method(run.config, name)) is None
    ]
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
