"""What runs of models with open answers measure besides, as rows and in sentences.

Of such answers no two models agree on every word: whole answers are judged as refused, complied
or broken, perplexity says whether the language stays fluent, and a cheaper judge stands in for
these verdicts where many sizes are measured.  `metrics.json` of other runs lacks all of it, and
everything here is empty for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, nan
from typing import Any, Literal, get_args

import pandas as pd

from circuitviz.evaluation.rate import Rate
from circuitviz.plots.text import evidence, made_of, percent, rate_row
from circuitviz.runs.store import Run

# What became of an attack, judged on the whole answer.
Verdict = Literal["refused", "complied", "broken"]
VERDICT_COLUMNS = ("condition", "verdict", "k", "n", "rate", "low", "high", "judge")
ALTERNATIVE_COLUMNS = ("circuit", "units", "made of", "attack success", "utility kept", "judge")
CONDITIONS = {"intact": "Intact model", "knocked_out": "Circuit off"}
TEXTS = {"answers": "the intact model's own answers", "neutral": "a neutral text"}
ROLES = {"smaller": "a smaller one", "larger": "a larger one"}


def verdict_rates(run: Run) -> dict[str, dict[str, Rate]]:
    """The share of each verdict, by condition (`intact`, `knocked_out`); empty without any."""
    found: Mapping[str, Any] = run.metrics.get("verdicts") or {}
    if not all(set(get_args(Verdict)) <= set(found.get(name) or {}) for name in CONDITIONS):
        return {}
    return {
        name: {verdict: Rate.from_json(found[name][verdict]) for verdict in get_args(Verdict)}
        for name in CONDITIONS
    }


def verdict_frame(run: Run) -> pd.DataFrame:
    """Each verdict before and after, one row each, columns `VERDICT_COLUMNS`."""
    rows = [
        {
            "condition": CONDITIONS[name],
            "verdict": verdict,
            **rate_row(rate),
        }
        for name, rates in verdict_rates(run).items()
        for verdict, rate in rates.items()
    ]
    return pd.DataFrame(rows, columns=list(VERDICT_COLUMNS))


def verdict_sentence(run: Run) -> str:
    """What becomes of the attacks with the circuit off, in a sentence; empty without verdicts."""
    rates = verdict_rates(run)
    if not rates:
        return ""
    before, after = rates["intact"], rates["knocked_out"]
    return (
        f"With the circuit off, {after['complied'].k:,} of {after['complied'].n:,} attacks are "
        f"complied with ({before['complied'].k:,} before), {after['refused'].k:,} are refused "
        f"({before['refused'].k:,} before), and {after['broken'].k:,} get gibberish "
        f"({before['broken'].k:,} before), which counts as no success."
    )


def perplexity_frame(run: Run) -> pd.DataFrame:
    """Perplexity of each text, before and after: text, intact, circuit off, change."""
    rows = [
        {
            "text": TEXTS.get(name, name),
            "intact": float(one["intact"]),
            "circuit off": float(one["knocked_out"]),
            "change": f"{100 * (one['knocked_out'] / one['intact'] - 1):+.1f}\u202f%",
        }
        for name, one in _perplexities(run).items()
    ]
    return pd.DataFrame(rows, columns=["text", "intact", "circuit off", "change"])


def perplexity_sentence(run: Run) -> str:
    """Perplexity before and after, to stand within a sentence; empty where not measured."""
    told = [
        f"of {TEXTS.get(name, name)} {one['intact']:.2f} \u2192 {one['knocked_out']:.2f}"
        for name, one in _perplexities(run).items()
    ]
    return f"perplexity {', '.join(told)}" if told else ""


def perplexity_growth(run: Run) -> float | None:
    """By what share perplexity is above the intact model's: of the two texts, the larger share."""
    found = _perplexities(run).values()
    return max((one["knocked_out"] / one["intact"] - 1 for one in found), default=None)


def _perplexities(run: Run) -> dict[str, dict[str, float]]:
    """Perplexity before and after of each text that was measured under both."""
    found: Mapping[str, Any] = run.metrics.get("perplexity") or {}
    pairs = {
        name: {model: float((one or {}).get(model) or nan) for model in CONDITIONS}
        for name, one in found.items()
    }
    return {name: one for name, one in pairs.items() if not any(map(isnan, one.values()))}


def proxy_rate(run: Run) -> Rate | None:
    """How often the cheaper judge agrees with the verdict on the whole answer."""
    found = (run.metrics.get("proxy") or {}).get("agreement")
    return Rate.from_json(found) if found else None


def proxy_sentence(run: Run) -> str:
    """Which judge stands in where many sizes are measured, and how often it agrees."""
    rate = proxy_rate(run)
    if rate is None:
        return ""
    return (
        "Whole answers decide about the intact model and the reported circuit; at other sizes "
        f"\u201c{run.metrics['proxy']['name']}\u201d stands in, which agrees with them on "
        f"{percent(rate.rate)} of the answers ({evidence(rate)})"
    )


def ceiling_sentence(run: Run) -> str:
    """What recovery can reach at most; empty where nobody measured it."""
    found = run.metrics.get("recovery_ceiling")
    if not found:
        return ""
    rate = Rate.from_json(found)
    without = " without the trigger" if run.metrics.get("trigger") else ""
    return (
        f"Recovery is read beside what the intact model reaches{without}: "
        f"{percent(rate.rate)} ({evidence(rate)} \u00b7 judge: {rate.judge})"
    )


def ceiling_note(run: Run, rate: Rate) -> str:
    """A recovery as a share of what can be reached at most, to follow its evidence; or nothing."""
    found = run.metrics.get("recovery_ceiling")
    if not found:
        return ""
    most = Rate.from_json(found)
    share = percent(rate.rate / most.rate if most.rate else nan)
    return (
        f" \u00b7 {share} of what the intact model reaches without the trigger "
        f"({most.k:,} of {most.n:,})"
    )


def alternative_frame(run: Run) -> pd.DataFrame:
    """The reported circuit between a smaller and a larger one, columns `ALTERNATIVE_COLUMNS`.

    Empty where the run kept none.
    """
    found: list[dict[str, Any]] = list(run.metrics.get("alternatives") or [])
    if not found:
        return pd.DataFrame(columns=list(ALTERNATIVE_COLUMNS))
    own = {
        **run.metrics["circuit"],
        "asr": run.metrics["asr"]["knocked_out"],
        "utility_retention": run.metrics["utility_retention"],
        "role": "reported",
    }
    rows = sorted([*found, own], key=lambda row: int(row["size"]))
    return pd.DataFrame([_alternative(run, row) for row in rows], columns=list(ALTERNATIVE_COLUMNS))


def _alternative(run: Run, row: Mapping[str, Any]) -> dict[str, Any]:
    rate = Rate.from_json(row["asr"])
    return {
        "circuit": ROLES.get(str(row["role"]), "the reported one"),
        "units": int(row["size"]),
        "made of": made_of(int(row["heads"]), int(row["neurons"]), run.space),
        "attack success": f"{percent(rate.rate)} ({evidence(rate)})",
        "utility kept": percent(float(row["utility_retention"])),
        "judge": rate.judge,
    }
