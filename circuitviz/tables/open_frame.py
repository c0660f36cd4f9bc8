"""Rows of what runs of models with open answers measure besides; empty for other runs."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from circuitviz.evaluation.results import Alternative
from circuitviz.narrative.numbers import evidence_of, made_of, percent
from circuitviz.narrative.open_answers import CONDITIONS, TEXTS, perplexities, verdict_shares
from circuitviz.runs.store import Run
from circuitviz.tables.rows import rate_row

# What became of an attack, judged on the whole answer.
WholeVerdict = Literal["refused", "complied", "broken"]
VERDICT_COLUMNS = ("condition", "verdict", "k", "n", "rate", "low", "high", "judge")
ALTERNATIVE_COLUMNS = ("circuit", "units", "made of", "attack success", "utility kept", "judge")
_ROLES = {"smaller": "a smaller one", "larger": "a larger one"}


def verdict_frame(run: Run) -> pd.DataFrame:
    """Each verdict before and after, one row each, columns `VERDICT_COLUMNS`."""
    rows = [
        {"condition": CONDITIONS[name], "verdict": verdict, **rate_row(rate)}
        for name, rates in verdict_shares(run).items()
        for verdict, rate in rates.items()
    ]
    return pd.DataFrame(rows, columns=list(VERDICT_COLUMNS))


def perplexity_frame(run: Run) -> pd.DataFrame:
    """Perplexity of each text, before and after: text, intact, circuit off, change."""
    rows = [
        {
            "text": TEXTS[name],
            "intact": text.intact,
            "circuit off": text.knocked_out,
            "change": f"{100 * text.share:+.1f}\u202f%",
        }
        for name, text in perplexities(run).items()
    ]
    return pd.DataFrame(rows, columns=["text", "intact", "circuit off", "change"])


def alternative_frame(run: Run) -> pd.DataFrame:
    """The reported circuit between a smaller and a larger one, columns `ALTERNATIVE_COLUMNS`.

    Empty where the run kept none.
    """
    metrics = run.metrics
    reported = Alternative(
        **dict(metrics.circuit),
        role="reported",
        asr=metrics.asr.knocked_out,
        utility_retention=metrics.utility_retention,
    )
    rows = [
        {
            "circuit": _ROLES.get(circuit.role, "the reported one"),
            "units": circuit.size,
            "made of": made_of(circuit.heads, circuit.neurons, run.space),
            "attack success": evidence_of(circuit.asr),
            "utility kept": percent(circuit.utility_retention),
            "judge": circuit.asr.judge,
        }
        for circuit in sorted([*metrics.alternatives, reported], key=lambda one: one.size)
    ]
    return pd.DataFrame(rows if metrics.alternatives else [], columns=list(ALTERNATIVE_COLUMNS))
