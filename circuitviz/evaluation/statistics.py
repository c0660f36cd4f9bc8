"""Whether two results differ by more than chance, and whether two circuits agree by more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from circuitviz.errors import ConfigError
from circuitviz.units import Circuit

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

RESAMPLES = 2000
CONFIDENCE = 0.95

# Resamples drawn at once: bounds the memory to this many times the number of prompts.
BATCH = 100


@dataclass(frozen=True)
class McNemar:
    """How the same prompts fare before and after.

    Attributes:
        only_before: Prompts with a true verdict only before.
        only_after: Prompts with a true verdict only after.
        p: Two-sided p-value of "a verdict is as likely to turn one way as the other".
    """

    only_before: int
    only_after: int
    p: float


@dataclass(frozen=True)
class Difference:
    """A mean difference, after minus before, with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    resamples: int


def mcnemar(before: ArrayLike, after: ArrayLike) -> McNemar:
    """McNemar's exact test on verdicts about the same prompts.

    Only prompts whose verdict changed count: under the null hypothesis each of the b + c of them
    turned either way with probability 1/2, so p is the two-sided binomial test of b in b + c.
    Without any, p = 1.

    Args:
        before: Boolean [prompts].
        after: Boolean [prompts], in the same order.

    Raises:
        ConfigError: The two differ in length, or are empty.

    Source: McNemar (1947), "Note on the sampling error of the difference between correlated
    proportions or percentages", Psychometrika 12:153-157; in its exact form.
    """
    from scipy.stats import binomtest

    first, second = _paired(before, after)
    lost = int(np.sum((first != 0) & (second == 0)))
    gained = int(np.sum((first == 0) & (second != 0)))
    p = float(binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0
    return McNemar(lost, gained, p)


def paired_difference(
    before: ArrayLike, after: ArrayLike, *, seed: int, resamples: int = RESAMPLES
) -> Difference:
    """Mean of after - before over prompts, with a percentile bootstrap 95 % interval.

    Prompts are resampled, each with both of its values, so what makes a prompt easy or hard for
    both cancels out.  Where every prompt changes by the same amount (also: where there is one
    prompt) all resamples are alike and the interval is that single value.  Then it is too
    narrow: it says nothing about prompts not asked.  The Wilson intervals of the two rates do.

    Args:
        before: Booleans or numbers [prompts].
        after: The same of the same prompts, in the same order.
        seed: Of the resampling.
        resamples: How many.

    Raises:
        ConfigError: The two differ in length, or are empty.

    Source: Efron & Tibshirani (1993), "An introduction to the bootstrap", chapter 13.
    """
    from scipy.stats import bootstrap

    first, second = _paired(before, after)
    change = second - first
    value = float(change.mean())
    if np.ptp(change) == 0:
        return Difference(value, value, value, resamples)
    interval = bootstrap(
        (first, second),
        lambda one, other, axis: np.mean(other - one, axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        n_resamples=resamples,
        batch=BATCH,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Difference(value, float(interval.low), float(interval.high), resamples)


def jaccard(a: Circuit, b: Circuit) -> float:
    """|a and b| / |a or b|, in [0, 1]; 1 where both are empty.

    Raises:
        ConfigError: The circuits are of models of different shapes.
    """
    _require_one_space(a, b)
    union = len(a.units | b.units)
    return len(a.units & b.units) / union if union else 1.0


def chance_jaccard(a: Circuit, b: Circuit) -> float:
    """The Jaccard index to expect of random circuits with as many heads and neurons as these.

    Heads are drawn among the heads and neurons among the neurons, without replacement, so the
    two overlaps H and N are hypergeometric and independent, and the expectation is exact:
    sum over x of P(H + N = x) x / (|a| + |b| - x).  Only the circuits' sizes matter.

    Raises:
        ConfigError: The circuits are of models of different shapes.
    """
    _require_one_space(a, b)
    total = len(a) + len(b)
    if not total:
        return 1.0
    heads = _overlaps(a.space.total_heads, len(a.heads), len(b.heads))
    neurons = _overlaps(a.space.total_neurons, len(a.neurons), len(b.neurons))
    shared = np.convolve(heads, neurons)
    overlap = np.arange(len(shared))
    return float(np.sum(shared * overlap / (total - overlap)))


def percentile(value: float, draws: Sequence[float], *, higher: bool = False) -> float:
    """Share of the draws at or below the value, in [0, 1]; at or above it where `higher`.

    With `higher` set where more is better, this is the share of draws at least as good.

    Raises:
        ConfigError: There are no draws.
    """
    if not len(draws):
        raise ConfigError("a percentile needs at least one draw; got none")
    others = np.asarray(draws)
    return float(np.mean(others >= value if higher else others <= value))


def _overlaps(units: int, first: int, second: int) -> Float[np.ndarray, " overlaps"]:
    """P(overlap = x) for x in 0..min(first, second) of two random sets among `units`."""
    from scipy.stats import hypergeom

    return hypergeom.pmf(np.arange(min(first, second) + 1), units, first, second)


def _paired(
    before: ArrayLike, after: ArrayLike
) -> tuple[Float[np.ndarray, " prompts"], Float[np.ndarray, " prompts"]]:
    first, second = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ConfigError(
            "before and after need one value for each of the same prompts; "
            f"got shapes {list(first.shape)} and {list(second.shape)}"
        )
    return first, second


def _require_one_space(a: Circuit, b: Circuit) -> None:
    if a.space != b.space:
        raise ConfigError(f"circuits of different models do not overlap; got {a.space}, {b.space}")
