"""From a run's evidence to the frames and sentences that show it; empty where it was not measured.

`metrics.json` of an older run lacks any of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isnan
from typing import Any

import pandas as pd

from circuitviz.evaluation.rate import Rate
from circuitviz.plots.frame import rates_at
from circuitviz.plots.judged import counted
from circuitviz.plots.target import is_refusal
from circuitviz.plots.text import (
    count,
    evidence,
    evidence_of,
    interval,
    percent,
    probability,
    rate_row,
)
from circuitviz.runs.store import Run

STOCHASTIC_COLUMNS = ("series", "share", "k", "n", "rate", "low", "high", "judge")
# Of each series, the keys it may stand under: the first one there is counts.
STOCHASTIC_SERIES = {
    "shown": ("shown", "asr"),
    "random": ("random_shown", "random_asr"),
    "utility": ("utility",),
}
# Names of units in a sentence.
MOST_NAMED = 6
KINDS = {"all": "Heads and neurons", "heads": "Heads alone", "neurons": "Neurons alone"}


def stochastic_frame(run: Run) -> pd.DataFrame:
    """Circuit kept, a growing share of the rest ablated: columns `STOCHASTIC_COLUMNS`.

    Series: `shown` (attacks that show the behaviour outright), `random` (the same with a random
    circuit kept), `utility`.
    """
    rows = []
    for point in run.metrics.get("stochastic") or []:
        for series, keys in STOCHASTIC_SERIES.items():
            found = [point[key] for key in keys if point.get(key)]
            if found:
                rate = Rate.from_json(found[0])
                rows.append({"series": series, "share": float(point["share"]), **rate_row(rate)})
    return pd.DataFrame(rows, columns=list(STOCHASTIC_COLUMNS))


def criteria(run: Run) -> dict[str, tuple[str, str]]:
    """Value and explanation of faithfulness, completeness and minimality, where measured."""
    found: dict[str, Any] = run.metrics.get("criteria") or {}
    shown = {}
    if found.get("faithfulness"):
        entry = found["faithfulness"]
        shown["Faithfulness"] = (_ratio(entry["value"]), str(entry.get("condition", "")))
    if found.get("completeness"):
        shown["Completeness"] = (
            _ratio(found["completeness"]["value"]),
            "share of the behaviour that is gone with the circuit off",
        )
    if found.get("minimality"):
        entry = found["minimality"]
        shown["Minimality"] = (
            _ratio(entry["value"]),
            f"{entry['needed']:,} of the circuit's {count(entry['of'], 'part')} needed",
        )
    return shown


def _ratio(value: float | None) -> str:
    return "not defined" if value is None or isnan(value) else f"{value:.2f}"


def minimality_frame(run: Run) -> pd.DataFrame:
    """ASR with the circuit off except for one unit: unit, and its rate; most telling first."""
    entry = (run.metrics.get("criteria") or {}).get("minimality") or {}
    rows = [
        {
            "unit left on": name,
            "needed": {True: "needed", False: "not needed", None: ""}[found.get("needed")],
            **_asr_columns(Rate.from_json(found["asr"])),
        }
        for name, found in (entry.get("units") or {}).items()
    ]
    frame = pd.DataFrame(rows, columns=["unit left on", "needed", "ASR", "evidence", "judge"])
    rises = run.metrics.get("behaviour_kind") == "refusal"
    return frame.sort_values("ASR", ascending=rises, kind="stable").reset_index(drop=True)


def _asr_columns(rate: Rate) -> dict[str, Any]:
    return {"ASR": rate.rate, "evidence": evidence(rate), "judge": rate.judge}


def ablation_frame(run: Run) -> pd.DataFrame:
    """The reported circuit under each kind of ablation, one row each."""
    rows = []
    for kind, found in (run.metrics.get("ablations") or {}).items():
        row: dict[str, Any] = {"replaced by": kind + _mine(run, kind)}
        for name, title in (("asr", "attack success"), ("utility", "utility")):
            row[title] = evidence_of(found.get(name))
        row["recovery"] = evidence_of(found.get("recovery"))
        row["utility kept"] = percent(found["utility_retention"])
        row["KL (nats per token)"] = round(float(found["kl"]), 4)
        rows.append(row)
    return pd.DataFrame(rows)


def _mine(run: Run, kind: str) -> str:
    return " (this run)" if kind == run.config.ablation else ""


def judge_frame(run: Run) -> pd.DataFrame:
    """Every judge's attack success before and after, one row each, and degenerate answers."""
    found: dict[str, Any] = run.metrics.get("judges") or {}
    rows = list(found.get("rows") or [])
    if found.get("degenerate"):
        rows.append({"judge": "degenerate answers", "source": "repetition, empty answers"})
        rows[-1] |= found["degenerate"]
    return pd.DataFrame(
        [
            {
                "judge": row["judge"],
                "intact": evidence_of(row["intact"]),
                "circuit off": evidence_of(row["knocked_out"]),
                "source": row.get("source", ""),
            }
            for row in rows
        ],
        columns=["judge", "intact", "circuit off", "source"],
    )


def agreement_frame(run: Run) -> pd.DataFrame:
    """Cohen's kappa of each pair of judges, and on how many answers."""
    pairs: Iterable[Mapping[str, Any]] = (run.metrics.get("judges") or {}).get("agreement") or []
    return pd.DataFrame(
        [{"judge": p["a"], "and": p["b"], "kappa": p["kappa"], "answers": p["n"]} for p in pairs],
        columns=["judge", "and", "kappa", "answers"],
    )


def paired_sentences(run: Run) -> list[str]:
    """McNemar's test and the bootstrap differences, a sentence each."""
    found: dict[str, Any] = run.metrics.get("statistics") or {}
    sentences = []
    test = found.get("mcnemar")
    if test:
        sentences.append(
            f"Prompt by prompt: {test['only_before']:,} attacks succeed only before and "
            f"{test['only_after']:,} only after (McNemar, exact, p {probability(test['p'])})."
        )
    for key, what in (("asr_difference", "Attack success"), ("utility_difference", "Utility")):
        if found.get(key):
            sentences.append(difference_sentence(what, found[key]))
    return sentences


def difference_sentence(what: str, found: Mapping[str, Any]) -> str:
    """By how many points something changes, with its interval and where that comes from."""
    return (
        f"{what} changes by {100 * found['value']:+.1f} points "
        f"(95\u202f% {100 * found['low']:+.1f} to {100 * found['high']:+.1f}; paired bootstrap, "
        f"{found['resamples']:,} resamples)."
    )


def refinement_sentence(run: Run) -> str:
    """What backward elimination dropped; empty where it did not run."""
    found: dict[str, Any] = run.metrics.get("refinement") or {}
    if not found:
        return ""
    note = f" ({found['note']})" if found.get("note") else ""
    if found["after"] == found["before"]:
        if note:
            return f"Not refined{note}."
        return f"Refined: none of its {count(found['before'], 'unit')} could be dropped."
    return (
        f"Refined from {found['before']:,} to {count(found['after'], 'unit')}{note}: dropped "
        f"{_named(found['dropped'])}."
    )


def next_sentence(run: Run) -> str:
    """Which units come next after the circuit, and what they add; empty where none does."""
    units: list[str] = (run.metrics.get("refinement") or {}).get("next") or []
    if not units:
        return ""
    text = f"Next in line, for what the circuit leaves: {_named(units)}"
    series = "asr" if is_refusal(run) else "recovery"
    before = rates_at(run).get(series)
    after = rates_at(run, size=run.size + len(units)).get(series)
    # Of two judges, a change is none.
    if before is None or after is None or before.judge != after.judge:
        return f"{text}."
    what = "answered harmful requests" if is_refusal(run) else "right answers"
    off = "it" if len(units) == 1 else "them"
    return (
        f"{text}. With {off} off as well, {what} go from {before.k:,} to {after.k:,} of "
        f"{after.n:,} {counted(after)} (95\u202f% CI {interval(after)}; judge: {after.judge})."
    )


def _named(units: list[str]) -> str:
    """The first few names, and how many more there are: a block has hundreds of units."""
    more = len(units) - MOST_NAMED
    return ", ".join(units[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def truth_frame(run: Run) -> pd.DataFrame:
    """Scores against the planted units, for all, heads and neurons; empty without a truth."""
    found: dict[str, Any] = run.metrics.get("truth") or {}
    if not found:
        return pd.DataFrame()
    parts = {"all": found, "heads": found.get("heads"), "neurons": found.get("neurons")}
    return pd.DataFrame(
        [
            {
                "units": KINDS[name],
                "planted": part["size"],
                "AUROC": part["auroc"],
                "average precision": part["average_precision"],
                "precision at |truth|": part["precision_at_truth"],
            }
            for name, part in parts.items()
            if part
        ]
    )
