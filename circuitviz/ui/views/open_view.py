"""What pages show of models with open answers: verdicts on whole answers, perplexity, sizes."""

from __future__ import annotations

import streamlit as st

from circuitviz.evaluation.rate import Rate
from circuitviz.plots import open_frame, story
from circuitviz.plots.bars import verdict_bars
from circuitviz.plots.notes import READINGS
from circuitviz.plots.text import count, evidence, make_up, percent, sparsity
from circuitviz.report.verdict_line import sentence
from circuitviz.runs.store import Run
from circuitviz.ui.elements.components import Card, chart
from circuitviz.ui.elements.table import table
from circuitviz.units import Circuit


def circuit_card(run: Run, circuit: Circuit) -> Card:
    """A circuit's size, heads and neurons apart."""
    made = make_up(circuit)
    share = f"{sparsity(circuit.sparsity)} of all {len(run.space):,} units"
    return Card("Circuit", count(len(circuit), "unit"), f"{made}; {share}")


def perplexity_cards(run: Run) -> list[Card]:
    """How much less fluent the model is with its circuit off; none where nobody measured it."""
    growth = open_frame.perplexity_growth(run)
    if growth is None:
        return []
    value = f"{100 * growth:+.1f}\u202f%"
    return [Card("Perplexity, change", value, sentence(open_frame.perplexity_sentence(run)))]


def recovery_card(run: Run, rate: Rate) -> Card:
    """How many attacks are answered rightly again, beside what can be reached at most."""
    ceiling = open_frame.ceiling_note(run, rate)
    note = f"{evidence(rate)} \u00b7 judge: {rate.judge}{ceiling}"
    return Card(story.recovery_label(run), percent(rate.rate), note)


def verdict_chart(run: Run, *, key: str) -> None:
    """What became of the attacks before and after; nothing where whole answers were not judged."""
    found = open_frame.verdict_frame(run)
    if found.empty:
        return
    told = open_frame.verdict_sentence(run)
    st.header("What becomes of the attacks", anchor=False)
    chart(
        verdict_bars(found),
        key=key,
        reading=READINGS["verdicts"],
        caption=f"{told} n = {found['n'].max():,} attack test prompts, judged on whole answers by: "
        f"{found['judge'].iloc[0]}. {run.config.ablation} ablation.",
        alt=told,
        twin=found,
        columns={
            name: st.column_config.NumberColumn(format="percent")
            for name in ("rate", "low", "high")
        },
    )


def alternative_table(run: Run, *, key: str) -> None:
    """The reported circuit beside a smaller and a larger one, and who judged which."""
    found = open_frame.alternative_frame(run)
    if not found.empty:
        st.subheader("A smaller and a larger circuit", anchor=False)
        table(found, key=key)
        st.caption(
            f"Test prompts, {run.config.ablation} ablation. The smaller one costs less and ends "
            "less of the behaviour; the larger one the other way round."
        )
    for told in (open_frame.proxy_sentence(run), open_frame.ceiling_sentence(run)):
        if told:
            st.caption(sentence(told))


def verdict_word(verdict: str) -> str:
    """A verdict as cells show it; of those without a sign of their own, in words."""
    return "gibberish" if verdict == "broken" else verdict
