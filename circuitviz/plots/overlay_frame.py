"""Frames of several runs of one model on the same axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from circuitviz.plots.frame import frontier_judge, tradeoff_frame
from circuitviz.plots.rows import matching, records
from circuitviz.plots.text import evidence, made_of, percent
from circuitviz.runs.store import Run

__all__ = ["OVERLAY_COLUMNS", "judged_alike", "overlay_frame", "summary_frame"]

OVERLAY_COLUMNS = ("run", "size", "sparsity", "k", "n", "rate", "low", "high", "judge", "chosen")


def judged_alike(runs: Mapping[str, Run], series: str) -> tuple[dict[str, Run], dict[str, str]]:
    """The runs that the first one's judge counted, and the judges of the others, by label.

    Rates by different judges are different things, so they never share an axis.
    """
    judges = {label: frontier_judge(run, series) for label, run in runs.items()}
    first = next(iter(judges.values()), "")
    alike = {label: run for label, run in runs.items() if judges[label] == first}
    return alike, {label: judge for label, judge in judges.items() if judge != first}


def overlay_frame(runs: Mapping[str, Run], series: str) -> pd.DataFrame:
    """Long form of the joint frontiers: one row per run and size, columns `OVERLAY_COLUMNS`.

    Args:
        runs: By label, all of one model.
        series: `asr`, `utility` or `recovery`; a run that lacks it has no rows.
    """
    found = [
        {**row, "run": label, "chosen": row["size"] == run.size}
        for label, run in runs.items()
        for row in records(matching(tradeoff_frame(run), series=series))
    ]
    return pd.DataFrame(found, columns=list(OVERLAY_COLUMNS))


def summary_frame(runs: Mapping[str, Run]) -> pd.DataFrame:
    """Chosen size, its ASR and the frontier area of each run, one row each."""
    return pd.DataFrame([_summary(label, run) for label, run in runs.items()])


def _summary(label: str, run: Run) -> dict[str, Any]:
    rate = run.rate("asr", "knocked_out")
    found = run.metrics["circuit"]
    area = run.metrics.get("frontier_area")
    return {
        "run": label,
        "chosen size": run.size,
        "heads and neurons": made_of(found["heads"], found["neurons"], run.space),
        "attack success": f"{percent(rate.rate)} ({evidence(rate)})",
        "utility kept": percent(run.metrics["utility_retention"]),
        "frontier area": None if area is None else round(float(area), 3),
        "seconds": round(float(run.metrics["seconds"])),
    }
