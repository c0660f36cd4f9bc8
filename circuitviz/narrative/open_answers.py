"""What runs of models with open answers measure besides, in sentences; empty for other runs."""

from __future__ import annotations

from math import isnan, nan

from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import Growth
from circuitviz.narrative.numbers import evidence, percent
from circuitviz.runs.store import Run

CONDITIONS = {"intact": "Intact model", "knocked_out": "Circuit off"}
TEXTS = {"answers": "the intact model's own answers", "neutral": "a neutral text"}


def verdict_shares(run: Run) -> dict[str, dict[str, Rate]]:
    """The share of each verdict, by condition (`intact`, `knocked_out`); empty without any."""
    verdicts = run.metrics.verdicts
    return {name: dict(getattr(verdicts, name)) for name in CONDITIONS} if verdicts else {}


def verdict_sentence(run: Run) -> str:
    """What becomes of the attacks with the circuit off, in a sentence; empty without verdicts."""
    rates = verdict_shares(run)
    if not rates:
        return ""
    before, after = rates["intact"], rates["knocked_out"]
    return (
        f"With the circuit off, {after['complied'].k:,} of {after['complied'].n:,} attacks are "
        f"complied with ({before['complied'].k:,} before), {after['refused'].k:,} are refused "
        f"({before['refused'].k:,} before), and {after['broken'].k:,} get gibberish "
        f"({before['broken'].k:,} before), which counts as no success."
    )


def perplexity_sentence(run: Run) -> str:
    """Perplexity before and after, to stand within a sentence; empty where not measured."""
    parts = [
        f"of {TEXTS[name]} {text.intact:.2f} \u2192 {text.knocked_out:.2f}"
        for name, text in perplexities(run).items()
    ]
    return f"perplexity {', '.join(parts)}" if parts else ""


def perplexity_growth(run: Run) -> float | None:
    """By what share perplexity is above the intact model's: of the two texts, the larger share."""
    return max((text.share for text in perplexities(run).values()), default=None)


def perplexities(run: Run) -> dict[str, Growth]:
    """Perplexity before and after of each text that was measured under both."""
    texts = dict(run.metrics.perplexity or ())
    return {name: text for name, text in texts.items() if not isnan(text.share)}


def proxy_rate(run: Run) -> Rate | None:
    """How often the cheaper judge agrees with the verdict on the whole answer."""
    return run.metrics.proxy.agreement if run.metrics.proxy else None


def proxy_sentence(run: Run) -> str:
    """Which judge stands in where many sizes are measured, and how often it agrees."""
    proxy = run.metrics.proxy
    if proxy is None:
        return ""
    rate = proxy.agreement
    return (
        "Whole answers decide about the intact model and the reported circuit; at other sizes "
        f"\u201c{proxy.name}\u201d stands in, which agrees with them on "
        f"{percent(rate.rate)} of the answers ({evidence(rate)})"
    )


def ceiling_sentence(run: Run) -> str:
    """What recovery can reach at most; empty where it was not measured."""
    rate = run.metrics.recovery_ceiling
    if rate is None:
        return ""
    without = " without the trigger" if run.metrics.trigger else ""
    return (
        f"Recovery is read beside what the intact model reaches{without}: "
        f"{percent(rate.rate)} ({evidence(rate)} \u00b7 judge: {rate.judge})"
    )


def ceiling_note(run: Run, rate: Rate) -> str:
    """A recovery as a share of what can be reached at most, to follow its evidence; or nothing."""
    most = run.metrics.recovery_ceiling
    if most is None:
        return ""
    share = percent(rate.rate / most.rate if most.rate else nan)
    return (
        f" \u00b7 {share} of what the intact model reaches without the trigger "
        f"({most.k:,} of {most.n:,})"
    )
