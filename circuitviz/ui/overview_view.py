"""Pieces of the overview page: the headline numbers, one answer before and after."""

from __future__ import annotations

import math

import streamlit as st

from circuitviz.evaluation.rate import Rate
from circuitviz.plots import frame, story
from circuitviz.plots.text import percent
from circuitviz.runs.store import Run
from circuitviz.ui.choice import Choice
from circuitviz.ui.components import Answer, Card, answer_cells, cards, rate_card, size_card
from circuitviz.ui.cover import COVERED_ANSWER, cover, telling

__all__ = ["headline_cards", "sample"]


def headline_cards(run: Run, choice: Choice) -> None:
    """ASR before and after, utility kept, recovery and size, for the chosen size."""
    rates = frame.rates_at(run, size=choice.size, heads=choice.heads, neurons=choice.neurons)
    base = choice.base_circuit(run)
    found = [
        rate_card(story.asr_label(run), rates["asr"], before=run.rate("asr", "intact")),
        _utility_card(rates["utility"], run.rate("utility", "intact")),
    ]
    if "recovery" in rates and not story.is_refusal(run):
        found.append(rate_card(story.recovery_label(run), rates["recovery"]))
    found.append(size_card(len(base.heads), len(base.neurons), run, "Circuit, share of the model"))
    cards(found)


def _utility_card(after: Rate, intact: Rate) -> Card:
    kept = after.rate / intact.rate if intact.k else math.nan
    return Card(
        "Normal accuracy kept",
        percent(kept),
        f"{after.k:,} of {after.n:,} benign prompts right, intact {intact.k:,} of {intact.n:,} "
        f"· judge: {after.judge}",
    )


def sample(run: Run) -> None:
    """One test prompt whose verdict changed, answered by both models."""
    answers = frame.generation_frame(run)
    if answers.empty:
        st.caption("This run saved no answers.")
        return
    row = cover(run, telling(run, answers))
    titles = {"intact": "Intact model", "knocked_out": "Circuit knocked out"}
    other = {"intact": "knocked_out", "knocked_out": "intact"}
    answer_cells(
        [
            Answer(
                title,
                row["prompt"],
                row[name],
                row[other[name]] if COVERED_ANSWER not in row.values() else None,
                row[f"verdict_{name}"],
                "gone" if name == "intact" else "new",
            )
            for name, title in titles.items()
        ],
        columns=1,
    )
    st.caption(
        "A test prompt, greedy answers; words that went are struck through, new ones are "
        "underlined."
    )
