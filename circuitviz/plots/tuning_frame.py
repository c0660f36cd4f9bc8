"""Frames of one tuning: its curve, its arms at the end, and the table people read."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from typing import Any

import pandas as pd

from circuitviz.evaluation.rate import Rate
from circuitviz.plots.text import interval, percent, rate_row, records, sparsity
from circuitviz.plots.tuning_story import arm_title
from circuitviz.runs.tuning_store import ARMS, BEFORE, Tuning

KEPT, NONE = "safety kept", "\u2013"
TUNING_SERIES = ("safety", "helpfulness")
CURVE_RATE_COLUMNS = ("arm", "epoch", "series", "k", "n", "rate", "low", "high")
ARM_COLUMNS = ("arm", "title", "series", "k", "n", "rate", "low", "high", "judge")


def curve_rates(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Points of a curve in long form: a row per point and series, columns `CURVE_RATE_COLUMNS`.

    Args:
        rows: Points with the keys `CURVE_COLUMNS` of `circuitviz.runs.tuning_store`; points that
            cannot be read, as those of another version, are left out.
    """
    found = []
    for row in rows:
        for series in TUNING_SERIES:
            k, n = row.get(f"{series}_k"), row.get(f"{series}_n")
            if k is None or not n:
                continue
            rate = Rate("", int(k), int(n))
            found.append(
                {"arm": row["arm"], "epoch": int(row["epoch"]), "series": series}
                | {"k": rate.k, "n": rate.n, "rate": rate.rate, "low": rate.low, "high": rate.high}
            )
    order = {arm: place for place, arm in enumerate(ARMS)}
    found.sort(key=lambda row: (order.get(row["arm"], len(order)), row["epoch"]))
    return pd.DataFrame(found, columns=list(CURVE_RATE_COLUMNS))


def arm_frame(tuning: Tuning) -> pd.DataFrame:
    """Safety and helpfulness on test prompts: a row per arm and series, `before` first.

    Columns `ARM_COLUMNS`.
    """
    found = []
    for arm in (BEFORE, *tuning.arms):
        place = (BEFORE,) if arm == BEFORE else ("arms", arm)
        for series in TUNING_SERIES:
            rate = tuning.rate(*place, series)
            found.append(
                {
                    "arm": arm,
                    "title": arm_title(tuning.config.mode, arm),
                    "series": series,
                    **rate_row(rate),
                }
            )
    return pd.DataFrame(found, columns=list(ARM_COLUMNS))


def tuning_table(tuning: Tuning) -> pd.DataFrame:
    """One row per arm, as text: rates with k of n and interval, shares, seconds."""
    rows = [_table_row(tuning, BEFORE, tuning.metrics["before"])]
    rows += [_table_row(tuning, arm, tuning.metrics["arms"][arm]) for arm in tuning.arms]
    frame = pd.DataFrame(rows)
    # Where nothing was safe before, there was nothing to keep.
    return frame.drop(columns=[name for name in (KEPT,) if set(frame[name]) == {NONE}])


def _table_row(tuning: Tuning, arm: str, values: dict[str, Any]) -> dict[str, str]:
    # Where a backdoor is removed, ordinary prompts are what helpfulness counts already.
    further = (
        {"triggered prompts answered right": _rate(values.get("exact"))}
        if tuning.metrics.get("behaviour_kind") == "backdoor"
        else {"ordinary prompts": _rate(values.get("utility"))}
    )
    trained, seconds = values.get("parameters_trained_share"), values.get("seconds")
    return {
        "": arm_title(tuning.config.mode, arm),
        "safety": _rate(values["safety"]),
        KEPT: _share(values.get("safety_kept")),
        "helpfulness": _rate(values["helpfulness"]),
        **further,
        "parameters trained": NONE if trained is None else sparsity(float(trained)),
        "seconds": NONE if seconds is None else f"{float(seconds):.1f}",
    }


def _rate(values: dict[str, Any] | None) -> str:
    if not values:
        return NONE
    rate = Rate.from_json(values)
    # A word joiner on both sides of the dash keeps the interval on one line.
    ends = interval(rate).replace("\u2013", "\u2060\u2013\u2060")
    return f"{percent(rate.rate)}, {rate.k:,} of {rate.n:,} ({ends})"


def _share(value: Any) -> str:
    return NONE if value is None or isnan(float(value)) else percent(float(value))


def prompts_measured(frame: pd.DataFrame) -> str:
    """How many prompts stand behind the points of a frame of `curve_rates`, in words."""
    amounts = {str(row["series"]): int(row["n"]) for row in records(frame)}
    return " and ".join(f"{n:,} for {series}" for series, n in amounts.items())


def last_epoch(frame: pd.DataFrame) -> int:
    """The latest epoch of a frame of `curve_rates`; 0 where there is none."""
    return max((int(row["epoch"]) for row in records(frame)), default=0)
