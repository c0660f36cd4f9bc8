"""Frames of one tuning: its curve, its arms at the end, and the table people read."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import ArmRates
from circuitviz.narrative.numbers import interval, percent, sparsity
from circuitviz.narrative.tuning_story import arm_title
from circuitviz.runs.tuning_store import ARMS, Tuning
from circuitviz.tables.rows import Row, rate_row, records

KEPT, NONE = "safety kept", "\u2013"
TUNING_SERIES = ("safety", "helpfulness")
CURVE_RATE_COLUMNS = ("arm", "epoch", "series", "k", "n", "rate", "low", "high")
ARM_COLUMNS = ("arm", "title", "series", "k", "n", "rate", "low", "high", "judge")


def curve_rates(rows: Iterable[Row]) -> pd.DataFrame:
    """Points of a curve in long form: a row per point and series, columns `CURVE_RATE_COLUMNS`.

    Args:
        rows: Points with the keys `CURVE_COLUMNS` of `circuitviz.runs.tuning_store`.
    """
    points = [
        {
            "arm": row["arm"],
            "epoch": int(row["epoch"]),
            "series": series,
            **rate_row(Rate("", int(row[f"{series}_k"]), int(row[f"{series}_n"]))),
        }
        for row in rows
        for series in TUNING_SERIES
    ]
    order = {arm: index for index, arm in enumerate(ARMS)}
    points.sort(key=lambda row: (order.get(row["arm"], len(order)), row["epoch"]))
    return pd.DataFrame(points, columns=list(CURVE_RATE_COLUMNS))


def arm_frame(tuning: Tuning) -> pd.DataFrame:
    """Safety and helpfulness on test prompts: a row per arm and series, `before` first.

    Columns `ARM_COLUMNS`.
    """
    rows = [
        {
            "arm": arm,
            "title": arm_title(tuning.config.mode, arm),
            "series": series,
            **rate_row(getattr(rates, series)),
        }
        for arm, rates in tuning.states.items()
        for series in TUNING_SERIES
    ]
    return pd.DataFrame(rows, columns=list(ARM_COLUMNS))


def tuning_table(tuning: Tuning) -> pd.DataFrame:
    """One row per arm, as text: rates with k of n and interval, shares, seconds."""
    frame = pd.DataFrame([_table_row(tuning, arm, rates) for arm, rates in tuning.states.items()])
    # Where nothing was safe before, there was nothing to keep.
    return frame.drop(columns=[name for name in (KEPT,) if set(frame[name]) == {NONE}])


def _table_row(tuning: Tuning, arm: str, rates: ArmRates) -> dict[str, str]:
    # Where a backdoor is removed, ordinary prompts are what helpfulness counts already.
    further = (
        {"ordinary prompts": _rate(rates.utility)}
        if tuning.metrics.is_refusal
        else {"triggered prompts answered right": _rate(rates.exact)}
    )
    kept, trained = rates.safety_kept, rates.parameters_trained_share
    return {
        "": arm_title(tuning.config.mode, arm),
        "safety": _rate(rates.safety),
        KEPT: NONE if kept is None else percent(kept),
        "helpfulness": _rate(rates.helpfulness),
        **further,
        "parameters trained": NONE if trained is None else sparsity(trained),
        "seconds": NONE if rates.seconds is None else f"{rates.seconds:.1f}",
    }


def _rate(rate: Rate) -> str:
    # A word joiner on both sides of the dash keeps the interval on one line.
    ends = interval(rate).replace("\u2013", "\u2060\u2013\u2060")
    return f"{percent(rate.rate)}, {rate.k:,} of {rate.n:,} ({ends})"


def prompts_measured(frame: pd.DataFrame) -> str:
    """How many prompts stand behind the points of a frame of `curve_rates`, in words."""
    amounts = {str(row["series"]): int(row["n"]) for row in records(frame)}
    return " and ".join(f"{n:,} for {series}" for series, n in amounts.items())


def last_epoch(frame: pd.DataFrame) -> int:
    """The latest epoch of a frame of `curve_rates`; 0 where there is none."""
    return max((int(row["epoch"]) for row in records(frame)), default=0)
