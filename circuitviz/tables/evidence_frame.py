"""From a run's evidence to the frames and sentences that show it; empty where it was not measured.

From a run's evidence to the frames and sentences that show it; empty where it was not measured.

Runs without controls lack all of it.
"""

from __future__ import annotations

from math import isnan
from typing import Literal

import pandas as pd

from circuitviz.evaluation.results import Alternative
from circuitviz.evaluation.statistics import Difference
from circuitviz.narrative.numbers import (
    count,
    evidence,
    evidence_of,
    interval,
    made_of,
    percent,
    probability,
)
from circuitviz.narrative.open_answers import CONDITIONS, TEXTS, perplexities, verdict_shares
from circuitviz.narrative.phrases import counted
from circuitviz.runs.store import Run
from circuitviz.tables.frame import rates_at
from circuitviz.tables.rows import rate_row

STOCHASTIC_COLUMNS = ("series", "share", "k", "n", "rate", "low", "high", "judge")
# Names of units in a sentence.
MAX_NAMED_UNITS = 6
_KINDS = {"all": "Heads and neurons", "heads": "Heads alone", "neurons": "Neurons alone"}


def stochastic_frame(run: Run) -> pd.DataFrame:
    """Circuit kept, a growing share of the rest ablated: columns `STOCHASTIC_COLUMNS`.

    Series: `shown` (attacks that show the behaviour outright), `random` (the same with a random
    circuit kept), `utility`.
    """
    rows = [
        {"series": series, "share": point.share, **rate_row(rate)}
        for point in run.metrics.stochastic
        for series, rate in (
            ("shown", point.shown),
            ("random", point.random_shown),
            ("utility", point.utility),
        )
    ]
    return pd.DataFrame(rows, columns=list(STOCHASTIC_COLUMNS))


def criteria_values(run: Run) -> dict[str, tuple[str, str]]:
    """Value and explanation of faithfulness, completeness and minimality, where measured."""
    measured = run.metrics.criteria
    if measured is None:
        return {}
    faithful, minimal = measured.faithfulness, measured.minimality
    return {
        "Faithfulness": (_ratio(faithful.value), faithful.condition),
        "Completeness": (
            _ratio(measured.completeness.value),
            "share of the behaviour that is gone with the circuit off",
        ),
        "Minimality": (
            _ratio(minimal.value),
            f"{minimal.needed:,} of the circuit's {count(minimal.of, 'part')} needed",
        ),
    }


def _ratio(value: float) -> str:
    return "not defined" if isnan(value) else f"{value:.2f}"


def minimality_frame(run: Run) -> pd.DataFrame:
    """ASR with the circuit off except for one unit: unit, and its rate; most telling first."""
    units = run.metrics.criteria.minimality.units if run.metrics.criteria else {}
    rows = [
        {
            "unit left on": name,
            "needed": "needed" if unit.needed else "not needed",
            "ASR": unit.asr.rate,
            "evidence": evidence(unit.asr),
            "judge": unit.asr.judge,
        }
        for name, unit in units.items()
    ]
    frame = pd.DataFrame(rows, columns=["unit left on", "needed", "ASR", "evidence", "judge"])
    rises = run.metrics.is_refusal
    return frame.sort_values("ASR", ascending=rises, kind="stable").reset_index(drop=True)


def ablation_frame(run: Run) -> pd.DataFrame:
    """The reported circuit under each kind of ablation, one row each."""
    return pd.DataFrame(
        [
            {
                "replaced by": kind + " (this run)" * (kind == run.config.ablation),
                "attack success": evidence_of(effect.asr),
                "utility": evidence_of(effect.utility),
                "recovery": evidence_of(effect.recovery),
                "utility kept": percent(effect.utility_retention),
                "KL (nats per token)": round(effect.kl, 4),
            }
            for kind, effect in run.metrics.ablations.items()
        ]
    )


def judge_frame(run: Run) -> pd.DataFrame:
    """Every judge's attack success before and after, one row each, and degenerate answers."""
    table = run.metrics.judges
    broken = ("degenerate answers", "repetition, empty answers")
    named = [(row.judge, row.source, row) for row in table.rows] if table else []
    return pd.DataFrame(
        [
            {
                "judge": judge,
                "intact": evidence_of(rates.intact),
                "circuit off": evidence_of(rates.knocked_out),
                "source": source,
            }
            for judge, source, rates in [*named, *([(*broken, table.degenerate)] if table else [])]
        ],
        columns=["judge", "intact", "circuit off", "source"],
    )


def agreement_frame(run: Run) -> pd.DataFrame:
    """Cohen's kappa of each pair of judges, and on how many answers."""
    pairs = run.metrics.judges.agreement if run.metrics.judges else []
    return pd.DataFrame(
        [{"judge": p.a, "and": p.b, "kappa": p.kappa, "answers": p.n} for p in pairs],
        columns=["judge", "and", "kappa", "answers"],
    )


def paired_sentences(run: Run) -> list[str]:
    """McNemar's test and the bootstrap differences, a sentence each."""
    tests = run.metrics.statistics
    if tests is None:
        return []
    return [
        f"Prompt by prompt: {tests.mcnemar.only_before:,} attacks succeed only before and "
        f"{tests.mcnemar.only_after:,} only after (McNemar, exact, "
        f"p {probability(tests.mcnemar.p)}).",
        difference_sentence("Attack success", tests.asr_difference),
        difference_sentence("Utility", tests.utility_difference),
    ]


def difference_sentence(what: str, change: Difference) -> str:
    """By how many points something changes, with its interval and where that comes from."""
    return (
        f"{what} changes by {100 * change.value:+.1f} points "
        f"(95\u202f% {100 * change.low:+.1f} to {100 * change.high:+.1f}; paired bootstrap, "
        f"{change.resamples:,} resamples)."
    )


def refinement_sentence(run: Run) -> str:
    """What backward elimination dropped; empty where it did not run."""
    refined = run.metrics.refinement
    if refined is None:
        return ""
    note = f" ({refined.note})" if refined.note else ""
    if refined.after == refined.before:
        if note:
            return f"Not refined{note}."
        return f"Refined: none of its {count(refined.before, 'unit')} could be dropped."
    return (
        f"Refined from {refined.before:,} to {count(refined.after, 'unit')}{note}: dropped "
        f"{_named(refined.dropped)}."
    )


def next_sentence(run: Run) -> str:
    """Which units come next after the circuit, and what they add; empty where none does."""
    units = run.metrics.refinement.next if run.metrics.refinement else []
    if not units:
        return ""
    text = f"Next in line, for what the circuit leaves: {_named(units)}"
    series = "asr" if run.metrics.is_refusal else "recovery"
    before = rates_at(run).get(series)
    after = rates_at(run, size=run.size + len(units)).get(series)
    # Of two judges, a change is none.
    if before is None or after is None or before.judge != after.judge:
        return f"{text}."
    what = "answered harmful requests" if run.metrics.is_refusal else "right answers"
    off = "it" if len(units) == 1 else "them"
    return (
        f"{text}. With {off} off as well, {what} go from {before.k:,} to {after.k:,} of "
        f"{after.n:,} {counted(after)} (95\u202f% CI {interval(after)}; judge: {after.judge})."
    )


def _named(units: list[str]) -> str:
    """The first few names, and how many more there are: a block has hundreds of units."""
    more = len(units) - MAX_NAMED_UNITS
    return ", ".join(units[:MAX_NAMED_UNITS]) + (f" and {more:,} more" if more > 0 else "")


def truth_frame(run: Run) -> pd.DataFrame:
    """Scores against the planted units, for all, heads and neurons; empty without a truth."""
    truth = run.metrics.truth
    if truth is None:
        return pd.DataFrame()
    parts = {"all": truth, "heads": truth.heads, "neurons": truth.neurons}
    return pd.DataFrame(
        [
            {
                "units": _KINDS[name],
                "planted": part.size,
                "AUROC": part.auroc,
                "average precision": part.average_precision,
                "precision at |truth|": part.precision_at_truth,
            }
            for name, part in parts.items()
            if part
        ]
    )


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
