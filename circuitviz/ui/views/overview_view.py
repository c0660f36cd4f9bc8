"""Pieces of the overview page: the headline numbers, one answer before and after."""

from __future__ import annotations

import streamlit as st

from circuitviz.narrative import story
from circuitviz.narrative.numbers import make_up
from circuitviz.narrative.phrases import utility_label
from circuitviz.plots import catalogue
from circuitviz.plots.catalogue import Chart
from circuitviz.plots.maps import MapOptions
from circuitviz.report.options import at_size
from circuitviz.runs.store import Run
from circuitviz.tables import frame
from circuitviz.ui.elements.answers import answer_cells, compared
from circuitviz.ui.elements.components import cards, rate_card
from circuitviz.ui.elements.redaction import redact, representative_row
from circuitviz.ui.view_state import ViewState
from circuitviz.ui.views.open_view import circuit_card, perplexity_cards, recovery_card
from circuitviz.units import Circuit

WAYS_ON = (
    ("pages/present.py", "Present this finding", ":material/slideshow:"),
    ("pages/report.py", "Send it as a report", ":material/article:"),
    ("pages/models.py", "Search a model of your own", ":material/upload_file:"),
)


def at_choice(run: Run, choice: ViewState) -> Run:
    """The run as the chosen size tells it; as it was saved where a size tells less than that."""
    return run if choice.separate or choice.size == 0 else at_size(run, choice.size)


def size_note(run: Run, shown: Run, base: Circuit) -> str:
    """What on the page is about the chosen size, and what about the found circuit.

    Args:
        run: The run as it was saved.
        shown: The run as the chosen size tells it.
        base: The circuit of the chosen size.
    """
    units = make_up(base)
    circuit = f"the circuit of {story.named_circuit(run)} that this run found"
    if shown is run:
        return (
            f"Only the headline numbers and the map are of your choice, {units}. All else on this "
            f"page is about {circuit}."
        )
    return (
        f"You chose this size, {units}, with test results in view: optimistic. The controls, the "
        f"evidence in full and the answers to one prompt are of {circuit}; all else on this page "
        "is about your size."
    )


def effect_panel(shown: Run) -> Chart:
    """Attack success and utility under every condition."""
    return catalogue.effect_chart(
        shown,
        alt="Attack success and utility of the intact model, with the circuit off, with a random "
        "circuit of the same size off, and with only the circuit on.",
    )


def small_map(run: Run, base: Circuit) -> Chart:
    """Where the heads of the circuit are; its neurons in the caption."""
    return catalogue.head_chart(
        run,
        base,
        MapOptions(row_pixels=34),
        lead=f"The circuit: {make_up(base)}; its heads are framed.",
        alt="Layer by head heatmap of scores, heads of the circuit framed.",
    )


def headline_cards(run: Run, choice: ViewState) -> None:
    """ASR and utility before and after, recovery and size, for the chosen size."""
    rates = frame.rates_at(run, size=choice.size, heads=choice.heads, neurons=choice.neurons)
    base = choice.base_circuit(run)
    shown = [
        rate_card(story.asr_label(run), rates["asr"], before=run.metrics.asr.intact),
        rate_card(
            utility_label(rates["utility"]), rates["utility"], before=run.metrics.utility.intact
        ),
    ]
    if "recovery" in rates and not run.metrics.is_refusal:
        shown.append(recovery_card(run, rates["recovery"]))
    if base == run.circuit():
        shown += perplexity_cards(run)
    shown.append(circuit_card(run, base))
    cards(shown)


def ways_on() -> None:
    """What people do next with a finding: show it, send it, or look for one of their own."""
    with st.container(horizontal=True, gap="small", key="ways_on"):
        for page, label, icon in WAYS_ON:
            st.page_link(page, label=label, icon=icon, width="content")


def sample(run: Run) -> None:
    """One test prompt whose verdict changed, answered by both models."""
    answers = frame.generation_frame(run)
    if answers.empty:
        st.caption("This run saved no answers.")
        return
    row = redact(run, representative_row(run, answers))
    with st.container(key="folded_sample"):
        answer_cells(compared(row, ("Intact model", "Circuit knocked out")), columns=1)
    st.caption(
        "A test prompt, greedy answers; words that went are struck through, new ones are "
        "underlined, longer stretches of either tinted. Long answers are cut here."
    )
