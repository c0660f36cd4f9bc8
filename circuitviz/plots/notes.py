"""What stands below figures: the conditions that their numbers share."""

from __future__ import annotations

from circuitviz.plots.frame import frontier_judge, frontier_rows, judge_of
from circuitviz.plots.judged import by_token
from circuitviz.plots.open_frame import proxy_sentence
from circuitviz.plots.palette import SERIES_LABELS
from circuitviz.runs.store import Run

__all__ = ["frontier_note", "judges_note", "run_note", "score_note"]


def run_note(run: Run) -> str:
    """The conditions every number of a run shares: n, judge, ablation, split."""
    rate = run.rate("asr", "knocked_out")
    return _conditions(run, rate.judge, f"{rate.n:,} test prompts")


def frontier_note(run: Run, n: int | None = None) -> str:
    """The conditions of the rates at every size, which a cheaper judge may have counted.

    Args:
        run: Whose rates they are.
        n: On how many prompts; None: what the run says for each size.
    """
    amount = _amounts(run) if n is None else f"{n:,} test prompts"
    note, stands_in = _conditions(run, frontier_judge(run, "asr"), amount), proxy_sentence(run)
    return f"{note}. {stands_in}" if stands_in else note


def _amounts(run: Run) -> str:
    """On how many prompts attacks were counted, which need not be the same at every size."""
    rows = frontier_rows(run)
    reported = rows["size"].isin([0, run.size])
    own, others = (set(map(int, rows.loc[kept, "asr_n"])) for kept in (reported, ~reported))
    if len(own) != 1 or len(others) != 1 or own == others:
        return f"{run.rate('asr', 'knocked_out').n:,} test prompts"
    return (
        f"{own.pop():,} test prompts for the intact model and the reported circuit, "
        f"{others.pop():,} at other sizes"
    )


def _conditions(run: Run, judge: str, amount: str) -> str:
    utility = run.rate("utility", "knocked_out")
    # Tokens of one answer go together, and are not the prompts that n counts.
    tokens = f" · utility of {utility.n:,} answer tokens" if by_token(utility) else ""
    return (
        f"n = {amount}{tokens} · judge: {judge} · {run.config.ablation} ablation · "
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
