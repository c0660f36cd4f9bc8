"""How numbers are written, everywhere the same."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import Any

from circuitviz.evaluation.rate import Rate

__all__ = ["count", "evidence", "evidence_of", "interval", "percent", "probability", "sparsity"]


def percent(share: float, digits: int = 1) -> str:
    """0.998 -> `99.8 %`, with a thin space that never breaks the line.

    A share that is not all is never rounded up to 100 %, nor one that is not none down to 0 %;
    0 of 0 is `not defined`.
    """
    if isnan(share):
        return "not defined"
    scaled = round(100 * share, digits)
    if 0 < share < 1 and scaled in (0.0, 100.0):
        return percent(share, digits + 1) if digits < 4 else f"{scaled:.{digits}f}\u202f%"
    return f"{scaled:.{digits}f}\u202f%"


def sparsity(share: float) -> str:
    """A share of units: two digits below one per cent, one above."""
    return percent(share, 2 if share < 0.01 else 1)


def interval(rate: Rate) -> str:
    """`98.5-100.0 %`, with an en dash."""
    return f"{100 * rate.low:.1f}\u2013{100 * rate.high:.1f}\u202f%"


def evidence(rate: Rate) -> str:
    """k of n and the interval, on one line: `257 of 257 · 95 % CI 98.5-100.0 %`."""
    return f"{rate.k:,} of {rate.n:,} · 95\u202f% CI {interval(rate)}"


def evidence_of(data: Mapping[str, Any] | None) -> str:
    """A rate as the metrics keep it, with everything behind it but its judge, on one line."""
    if not data:
        return "not measured"
    rate = Rate.from_json(data)
    return f"{percent(rate.rate)} ({evidence(rate)})"


def count(number: int, noun: str) -> str:
    """`1 head`, `2 heads`, `2,080 units`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def probability(p: float) -> str:
    """A p-value after the letter p: `= 0.031`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
