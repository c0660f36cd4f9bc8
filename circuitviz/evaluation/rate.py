"""A proportion with the evidence behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from circuitviz.errors import ConfigError

# Two-sided 95 % quantile of the standard normal distribution.
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Rate:
    """k of n by a named judge, with its Wilson 95 % interval.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical
    inference", JASA 22:209-212.

    Attributes:
        judge: Who counts.
        k: What counts.
        n: Of how many.
        effective_n: How many independent observations n is worth, where they come in groups that
            go together, as the tokens of one answer do; None where each stands alone.
    """

    judge: str
    k: int
    n: int
    effective_n: float | None = None

    def __post_init__(self) -> None:
        if self.n < 1 or not 0 <= self.k <= self.n:
            raise ConfigError(f"a rate needs 0 <= k <= n and n >= 1; got k={self.k}, n={self.n}")

    @classmethod
    def of(cls, verdicts: Iterable[bool], *, judge: str) -> Rate:
        """Count true verdicts."""
        values = [bool(verdict) for verdict in verdicts]
        return cls(judge, sum(values), len(values))

    @classmethod
    def of_groups(cls, k: Iterable[int], n: Iterable[int], *, judge: str) -> Rate:
        """Count what comes in groups, k_i of n_i in each: the tokens of an answer, say.

        The interval is Wilson's with the effective sample size of Korn & Graubard (1998),
        "Confidence intervals for proportions with small expected number of positive counts
        estimated from survey data", Survey Methodology 24:193-201: p (1 - p) / v, with v the
        variance of the ratio k / n over groups.  Where all groups are alike, each counts once.

        Raises:
            ConfigError: There are no groups.
        """
        counts, sizes = [int(one) for one in k], [int(one) for one in n]
        total, groups = sum(sizes), len(sizes)
        if not total:
            raise ConfigError("a rate of groups needs at least one group with something in it")
        share = sum(counts) / total
        spread = sum((one - share * size) ** 2 for one, size in zip(counts, sizes, strict=True))
        variance = spread * groups / max(1, groups - 1) / total**2
        alone = share * (1 - share)
        worth = min(float(total), alone / variance) if variance > 0 else float(groups)
        return cls(judge, sum(counts), total, max(1.0, float(worth)))

    @classmethod
    def pooled(cls, rates: Sequence[Rate]) -> Rate:
        """All verdicts of several rates of one judge, together.

        Raises:
            ConfigError: There are none, or their judges differ.
        """
        judges = {rate.judge for rate in rates}
        if len(judges) != 1:
            raise ConfigError(f"rates pool under one judge; got {', '.join(sorted(judges)) or 0}")
        grouped = [rate.effective_n for rate in rates if rate.effective_n is not None]
        return cls(
            judges.pop(),
            sum(rate.k for rate in rates),
            sum(rate.n for rate in rates),
            sum(grouped) if len(grouped) == len(rates) else None,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rate:
        """The inverse of `to_json`; the derived fields are recomputed."""
        worth = data.get("effective_n")
        return cls(
            str(data["judge"]),
            int(data["k"]),
            int(data["n"]),
            None if worth is None else float(worth),
        )

    @property
    def rate(self) -> float:
        """k / n, in [0, 1]."""
        return self.k / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson 95 % interval, inside [0, 1]."""
        n = self.n if self.effective_n is None else self.effective_n
        centre = self.rate + Z_95**2 / (2 * n)
        spread = Z_95 * sqrt(self.rate * (1 - self.rate) / n + (Z_95 / (2 * n)) ** 2)
        scale = 1 + Z_95**2 / n
        # The exact ends at k = 0 and k = n, which rounding would miss by 1e-17.
        low = 0.0 if self.k == 0 else (centre - spread) / scale
        high = 1.0 if self.k == self.n else (centre + spread) / scale
        return low, high

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.interval[1]

    def to_json(self) -> dict[str, Any]:
        """`{k, n, rate, low, high, judge}`, and `effective_n` where observations go together."""
        grouped = {} if self.effective_n is None else {"effective_n": self.effective_n}
        return {
            "k": self.k,
            "n": self.n,
            "rate": self.rate,
            "low": self.low,
            "high": self.high,
            "judge": self.judge,
            **grouped,
        }

    def __str__(self) -> str:
        return (
            f"{self.rate:.1%} ({self.k} of {self.n}, 95 % {self.low:.1%} to {self.high:.1%}, "
            f"judge: {self.judge})"
        )
