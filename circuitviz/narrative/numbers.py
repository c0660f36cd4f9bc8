"""How numbers are written, everywhere the same."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from math import isnan

from circuitviz.evaluation.rate import Rate
from circuitviz.units import Circuit, UnitSpace


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
    return f"{rate.k:,} of {rate.n:,}{worth(rate)} · 95\u202f% CI {interval(rate)}"


def worth(rate: Rate) -> str:
    """How many independent ones n is worth, where some go together; empty where none do."""
    if rate.effective_n is None:
        return ""
    return f" (worth {rate.effective_n:,.0f} independent ones)"


def evidence_of(rate: Rate | None) -> str:
    """A rate with everything behind it but its judge, on one line."""
    return f"{percent(rate.rate)} ({evidence(rate)})" if rate else "not measured"


def count(number: int, noun: str) -> str:
    """`1 head`, `2 heads`, `2,080 units`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def made_of(heads: int, neurons: int, space: UnitSpace) -> str:
    """Heads and neurons apart: `6 heads of 270 (2.2 %) and 188 neurons of 46,080 (0.41 %)`."""
    if not heads and not neurons:
        return "no units"
    kinds = ((heads, space.total_heads, "head"), (neurons, space.total_neurons, "neuron"))
    return " and ".join(
        f"{count(number, noun)} of {total:,} ({sparsity(number / total)})"
        if number
        else f"no {noun}s"
        for number, total, noun in kinds
    )


def make_up(circuit: Circuit) -> str:
    """`made_of` a circuit."""
    return made_of(*kinds_in(circuit), circuit.space)


def kinds_in(circuit: Circuit) -> tuple[int, int]:
    """How many heads and how many neurons a circuit has; quick for sets of a whole model."""
    heads = sum(unit.kind == "head" for unit in circuit.units)
    return heads, len(circuit) - heads


def kinds_of(heads: int, neurons: int, space: UnitSpace) -> str:
    """The same in few words, without what is none: `6 of 270 heads and 188 of 46,080 neurons`."""
    kinds = ((heads, space.total_heads, "heads"), (neurons, space.total_neurons, "neurons"))
    named = [f"{number:,} of {total:,} {noun}" for number, total, noun in kinds if number]
    return " and ".join(named) or "no units"


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in order, neighbours joined: `0\u20134, 7 and 9`."""
    ordered = sorted(set(numbers))
    named = []
    for _, group in groupby(enumerate(ordered), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        # Two neighbours are written out.
        named += [f"{run[0]}\u2013{run[-1]}"] if len(run) > 2 else [str(one) for one in run]
    *first, last = named or [""]
    return f"{', '.join(first)} and {last}" if first else last


def shortened(text: str, most: int) -> str:
    """The text on one line, cut at a blank before so many characters, with an ellipsis."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    head, _, _ = line[:most].rpartition(" ")
    return f"{head or line[:most]}\u2026"


def probability(p: float) -> str:
    """A p-value after the letter p: `= 0.031`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
