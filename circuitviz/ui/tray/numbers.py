"""What knocking out exactly the tray's set does: saved with the run, or measured now."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from circuitviz.errors import CircuitvizError
from circuitviz.evaluation.rate import Rate
from circuitviz.plots import frame, story
from circuitviz.plots.judged import utility_label
from circuitviz.plots.text import evidence, kinds_in, percent
from circuitviz.runs.config import AblationKind
from circuitviz.runs.store import Run
from circuitviz.ui.choice import Choice
from circuitviz.ui.elements.components import Card, cards
from circuitviz.ui.elements.fetch_button import refused
from circuitviz.ui.live import live_model
from circuitviz.units import Circuit

ALL_PROMPTS = "tray_all_prompts"


def saved_rates(run: Run, circuit: Circuit, ablation: AblationKind) -> dict[str, Rate]:
    """ASR and utility with exactly these units knocked out; empty where the run does not say.

    A run says it of the intact model, of the circuit it reports and of the circuits its ranking
    was cut into, all under its own ablation.
    """
    if not len(circuit):
        return {"asr": run.metrics.asr.intact, "utility": run.metrics.utility.intact}
    if ablation != run.config.ablation:
        return {}
    rates: dict[str, Rate] = {}
    size, pair = len(circuit), kinds_in(circuit)
    if circuit == run.circuit():
        rates = frame.rates_at(run)
    elif size != run.size and size in run.joint_sizes and circuit == run.ranked.best(size):
        rates = frame.rates_at(run, size=size)
    elif pair in run.budget_points and circuit == run.circuit_of(*pair):
        rates = frame.rates_at(run, heads=pair[0], neurons=pair[1])
    return rates if {"asr", "utility"} <= set(rates) else {}


@dataclass(frozen=True)
class Numbers:
    """ASR and utility of a set, beside the intact model's on the same prompts.

    Attributes:
        asr: With the set knocked out.
        utility: With the set knocked out.
        intact_asr: With nothing knocked out.
        intact_utility: With nothing knocked out.
        live: Whether they were measured now.
    """

    asr: Rate
    utility: Rate
    intact_asr: Rate
    intact_utility: Rate
    live: bool


def tray_numbers(run: Run, choice: Choice) -> None:
    """Two cards, and the sentence that says where they come from."""
    circuit, ablation = choice.circuit(run), choice.ablation_of(run)
    saved = saved_rates(run, circuit, ablation)
    if saved:
        found = Numbers(
            saved["asr"],
            saved["utility"],
            run.metrics.asr.intact,
            run.metrics.utility.intact,
            live=False,
        )
    else:
        # Streamlit would leave the last set's numbers there, under this one's name.
        st.empty()
        try:
            with st.spinner("Measuring exactly this set\u2026"):
                found = _measured(run, choice, circuit)
        except CircuitvizError as failure:
            refused(failure, "Cannot measure this set", "tray")
            return
    cards(
        [
            tray_card(story.asr_label(run), found.asr, found.intact_asr),
            tray_card(utility_label(found.utility), found.utility, found.intact_utility),
        ]
    )
    _source(run, found, ablation)


def _measured(run: Run, choice: Choice, circuit: Circuit) -> Numbers:
    everything = bool(st.session_state.get(ALL_PROMPTS))
    limit = None if everything else live_model.LIVE_LIMIT
    off = live_model.effect(run, circuit, ablation=choice.ablation, limit=limit)
    nothing = Circuit(run.space, frozenset())
    intact = live_model.effect(run, nothing, limit=limit)
    return Numbers(off.asr, off.utility, intact.asr, intact.utility, live=True)


def tray_card(label: str, after: Rate, intact: Rate) -> Card:
    """One rate from the intact model's to this set's, with the evidence of both."""
    return Card(
        label,
        percent(after.rate),
        f"{evidence(after)} \u00b7 intact {intact.k:,} of {intact.n:,} \u00b7 judge: {after.judge}",
        percent(intact.rate),
    )


def _source(run: Run, found: Numbers, ablation: str) -> None:
    if not found.live:
        st.caption(f"Saved with the run: test prompts, {ablation} ablation.")
        return
    st.caption(f"Measured now on test prompts, {ablation} ablation.")
    most = run.metrics.asr.intact.n
    if most > live_model.LIVE_LIMIT:
        st.toggle(
            f"Measure on all {most:,}",
            key=ALL_PROMPTS,
            persist_state="session",
            help=f"{live_model.LIVE_LIMIT} prompts of each role are measured sooner; all of them "
            "give narrower intervals.",
        )
