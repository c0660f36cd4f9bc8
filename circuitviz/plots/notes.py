"""What stands below figures: the conditions that their numbers share."""

from __future__ import annotations

from circuitviz.plots.frame import frontier_judge, judge_of
from circuitviz.plots.judged import by_token
from circuitviz.plots.open_frame import proxy_sentence
from circuitviz.plots.palette import SERIES_LABELS
from circuitviz.runs.store import Run

__all__ = ["frontier_note", "judges_note", "run_note", "score_note"]


def run_note(run: Run, n: str | int | None = None) -> str:
    """The conditions every number of a run shares: n, judge, ablation, split."""
    return _conditions(run, run.rate("asr", "knocked_out").judge, n)


def frontier_note(run: Run, n: str | int | None = None) -> str:
    """The conditions of the rates at every size, which a cheaper judge may have counted."""
    note, stands_in = _conditions(run, frontier_judge(run, "asr"), n), proxy_sentence(run)
    return f"{note}. {stands_in}" if stands_in else note


def _conditions(run: Run, judge: str, n: str | int | None) -> str:
    amount = f"{n:,}" if isinstance(n, int) else (n or f"{run.rate('asr', 'knocked_out').n:,}")
    utility = run.rate("utility", "knocked_out")
    # Tokens of one answer go together, and are not the prompts that n counts.
    tokens = f" · utility of {utility.n:,} answer tokens" if by_token(utility) else ""
    return (
        f"n = {amount} test prompts{tokens} · judge: {judge} · {run.config.ablation} ablation · "
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
