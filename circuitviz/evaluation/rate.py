"""A proportion with the evidence behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from circuitviz.errors import ConfigError

__all__ = ["Rate"]

# Two-sided 95 % quantile of the standard normal distribution.
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Rate:
    """k of n by a named judge, with its Wilson 95 % interval.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical
    inference", JASA 22:209-212.
    """

    judge: str
    k: int
    n: int

    def __post_init__(self) -> None:
        if self.n < 1 or not 0 <= self.k <= self.n:
            raise ConfigError(f"a rate needs 0 <= k <= n and n >= 1; got k={self.k}, n={self.n}")

    @classmethod
    def of(cls, verdicts: Iterable[bool], *, judge: str) -> Rate:
        """Count true verdicts."""
        values = [bool(verdict) for verdict in verdicts]
        return cls(judge, sum(values), len(values))

    @classmethod
    def pooled(cls, rates: Sequence[Rate]) -> Rate:
        """All verdicts of several rates of one judge, together.

        Raises:
            ConfigError: There are none, or their judges differ.
        """
        judges = {rate.judge for rate in rates}
        if len(judges) != 1:
            raise ConfigError(f"rates pool under one judge; got {', '.join(sorted(judges)) or 0}")
        return cls(judges.pop(), sum(rate.k for rate in rates), sum(rate.n for rate in rates))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rate:
        """The inverse of `to_json`; the derived fields are recomputed."""
        return cls(str(data["judge"]), int(data["k"]), int(data["n"]))

    @property
    def rate(self) -> float:
        """k / n, in [0, 1]."""
        return self.k / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson 95 % interval, inside [0, 1]."""
        centre = self.rate + Z_95**2 / (2 * self.n)
        spread = Z_95 * sqrt(self.rate * (1 - self.rate) / self.n + (Z_95 / (2 * self.n)) ** 2)
        scale = 1 + Z_95**2 / self.n
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
        """`{k, n, rate, low, high, judge}`."""
        return {
            "k": self.k,
            "n": self.n,
            "rate": self.rate,
            "low": self.low,
            "high": self.high,
            "judge": self.judge,
        }

    def __str__(self) -> str:
        return (
            f"{self.rate:.1%} ({self.k} of {self.n}, 95 % {self.low:.1%} to {self.high:.1%}, "
            f"judge: {self.judge})"
        )
