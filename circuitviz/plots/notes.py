"""What stands below figures: the conditions that their numbers share."""

from __future__ import annotations

from circuitviz.plots.frame import judge_of
from circuitviz.plots.palette import SERIES_LABELS
from circuitviz.runs.store import Run

__all__ = ["judges_note", "run_note", "score_note"]


def run_note(run: Run, n: str | int | None = None) -> str:
    """The conditions every number of a run shares: n, judge, ablation, split."""
    rate = run.rate("asr", "knocked_out")
    amount = f"{n:,}" if isinstance(n, int) else (n or f"{rate.n:,}")
    return (
        f"n = {amount} test prompts · judge: {rate.judge} · {run.config.ablation} ablation · "
        "intervals are 95 % Wilson"
    )


def judges_note(*runs: Run) -> str:
    """Who judged each kind of rate of these runs; says so where the judges differ."""
    named: dict[str, list[str]] = {}
    for series, label in SERIES_LABELS.items():
        judges = [judge_of(run, series) for run in runs if run.metrics.get(series)]
        if judges:
            named[label] = list(dict.fromkeys(judges))
    text = "; ".join(f"{label.lower()}: {', '.join(judges)}" for label, judges in named.items())
    differ = any(len(judges) > 1 for judges in named.values())
    return f"Judges: {text}." + (" Rates of different judges are not comparable." if differ else "")


def score_note(run: Run) -> str:
    """What learned scores rest on."""
    return (
        f"Scores were learned on training prompts, {run.config.ablation} ablation, seed "
        f"{run.config.seed}: they rank units and are no test result."
    )
