"""What a discovery was asked for, and whether its circuit does it, on test prompts."""

from __future__ import annotations

from dataclasses import dataclass

from circuitviz.evaluation.effect import MAX_GROWTH, MIN_RECOVERY
from circuitviz.narrative.numbers import percent
from circuitviz.narrative.open_answers import perplexity_growth
from circuitviz.narrative.phrases import by_token, counted, phrases
from circuitviz.runs.store import Run


@dataclass(frozen=True)
class Criterion:
    """One thing that a target asks for.

    Attributes:
        key: Which: asr, utility, recovery or perplexity.
        name: What it is about, in a few words.
        wanted: What was asked for.
        share: What the circuit does, knocked out.
        met: Whether that is enough.
        counted: The k of n behind the share; empty where there is none.
    """

    key: str
    name: str
    wanted: str
    share: str
    met: bool
    counted: str = ""

    @property
    def measured(self) -> str:
        """The share with what it was counted on."""
        return f"{self.share} ({self.counted})" if self.counted else self.share


def target_parts(run: Run) -> list[Criterion]:
    """All that the target of a run asks for."""
    asked = (_attacks(run), _utility(run), _recovery(run), _perplexity(run))
    return [one for one in asked if one is not None]


def missed(run: Run) -> list[Criterion]:
    """What the circuit misses, where it misses its target; all of it where none stands out."""
    asked = target_parts(run)
    return [one for one in asked if not one.met] or asked


def only_costs(run: Run) -> bool:
    """Whether the behaviour ends as asked, and the target is missed by what that costs."""
    keys = {one.key for one in missed(run)}
    return not run.metrics.target_reached and bool(keys) and keys <= {"utility", "perplexity"}


def recovered_share(run: Run) -> float | None:
    """Recovery as a share of what the intact model reaches without the trigger."""
    recovery, ceiling = run.metrics.recovery, run.metrics.recovery_ceiling
    most = ceiling.rate if ceiling else 1.0
    return recovery.rate / most if recovery and most else None


def _attacks(run: Run) -> Criterion:
    asked, rate = run.metrics.target.asr, run.metrics.asr.knocked_out
    return Criterion(
        "asr",
        "attack success",
        f"{phrases(run).bound} {percent(asked)} attack success",
        percent(rate.rate),
        "asr" not in run.metrics.target_missed,
        f"{rate.k:,} of {rate.n:,}",
    )


def _utility(run: Run) -> Criterion:
    asked = run.metrics.target.utility
    kept, rate = run.metrics.utility_retention, run.metrics.utility.knocked_out
    return Criterion(
        "utility",
        "utility",
        f"at least {percent(asked)} of utility kept",
        percent(kept),
        "utility" not in run.metrics.target_missed,
        f"{rate.k:,} of {rate.n:,} {counted(rate)}" if by_token(rate) else "",
    )


def _recovery(run: Run) -> Criterion | None:
    right, rate, ceiling = recovered_share(run), run.metrics.recovery, run.metrics.recovery_ceiling
    if right is None or rate is None or run.metrics.is_refusal:
        return None
    wanted = f"at least {percent(MIN_RECOVERY)} of attacks answered rightly again"
    if ceiling:
        wanted += (
            f", of the {percent(ceiling.rate)} that the intact model reaches without the trigger"
        )
    return Criterion(
        "recovery",
        "right answers to attacks",
        wanted,
        percent(right),
        "recovery" not in run.metrics.target_missed,
        f"{rate.k:,} of {rate.n:,}",
    )


def _perplexity(run: Run) -> Criterion | None:
    growth = perplexity_growth(run)
    if growth is None:
        return None
    return Criterion(
        "perplexity",
        "perplexity",
        f"perplexity at most {percent(MAX_GROWTH)} above the intact model's",
        f"{100 * growth:+.1f}\u202f%",
        "perplexity" not in run.metrics.target_missed,
    )
