"""What pages show of models with open answers: verdicts on whole answers, perplexity, sizes."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from circuitviz.evaluation.rate import Rate
from circuitviz.narrative import open_answers, story
from circuitviz.narrative.numbers import count, evidence, make_up, percent, sparsity
from circuitviz.narrative.opening import sentence
from circuitviz.plots import catalogue
from circuitviz.runs.store import Run
from circuitviz.tables import evidence_frame
from circuitviz.ui.elements.components import Card, draw_chart, table
from circuitviz.units import Circuit


def circuit_card(run: Run, circuit: Circuit) -> Card:
    """A circuit's size, heads and neurons apart."""
    made = make_up(circuit)
    share = f"{sparsity(circuit.sparsity)} of all {len(run.space):,} units"
    return Card("Circuit", count(len(circuit), "unit"), f"{made}; {share}")


def perplexity_cards(run: Run) -> list[Card]:
    """How much less fluent the model is with its circuit off; none where it was not measured."""
    growth = open_answers.perplexity_growth(run)
    if growth is None:
        return []
    value = f"{100 * growth:+.1f}\u202f%"
    return [Card("Perplexity, change", value, sentence(open_answers.perplexity_sentence(run)))]


def recovery_card(run: Run, rate: Rate) -> Card:
    """How many attacks are answered rightly again, beside what can be reached at most."""
    ceiling = open_answers.ceiling_note(run, rate)
    note = f"{evidence(rate)} \u00b7 judge: {rate.judge}{ceiling}"
    return Card(story.recovery_label(run), percent(rate.rate), note)


def verdict_section(run: Run, *, key: str) -> None:
    """What became of the attacks before and after; nothing where whole answers were not judged."""
    verdicts = catalogue.verdict_chart(run)
    if verdicts is None:
        return
    st.header("What becomes of the attacks", anchor=False)
    rates = open_answers.verdict_shares(run)["intact"]["refused"]
    caption = (
        f"{verdicts.alt} n = {rates.n:,} attack test prompts, judged on whole answers by: "
        f"{rates.judge}. {run.config.ablation} ablation."
    )
    draw_chart(
        replace(verdicts, caption=caption),
        key=key,
        columns={
            name: st.column_config.NumberColumn(format="percent")
            for name in ("rate", "low", "high")
        },
    )


def alternative_table(run: Run, *, key: str) -> None:
    """The reported circuit beside a smaller and a larger one, and who judged which."""
    alternatives = evidence_frame.alternative_frame(run)
    if not alternatives.empty:
        st.subheader("A smaller and a larger circuit", anchor=False)
        table(alternatives, key=key)
        st.caption(
            f"Test prompts, {run.config.ablation} ablation. The smaller one costs less and ends "
            "less of the behaviour; the larger one the other way round."
        )
    for note in (open_answers.proxy_sentence(run), open_answers.ceiling_sentence(run)):
        if note:
            st.caption(sentence(note))
