"""Choose the smallest circuit that meets the target, on validation prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.evaluation.effect import Effect

__all__ = ["Selection", "Target", "select_size"]

# Effects of circuits of the given sizes, in the order given.
Measure = Callable[[Sequence[int]], list[Effect]]


@dataclass(frozen=True)
class Target:
    """What a circuit must do, knocked out, to count as found.

    Attributes:
        kind: `backdoor`: ASR at most `asr`.  `refusal`: ASR at least `asr`.
        asr: In [0, 1].
        utility: Least utility retention, in [0, 1].
    """

    kind: BehaviourKind
    asr: float
    utility: float

    def met(self, effect: Effect, intact: Effect) -> bool:
        """Whether an effect reaches the target."""
        retained = effect.retention(intact) >= self.utility
        return retained and self.shortfall(effect) <= 0

    def shortfall(self, effect: Effect) -> float:
        """How far ASR is from its target; at most 0 where it is reached."""
        gap = effect.asr.rate - self.asr
        return gap if self.kind == "backdoor" else -gap


@dataclass(frozen=True)
class Selection:
    """The size chosen.

    Attributes:
        size: |C|.
        reached: Whether the target is met on validation prompts.
    """

    size: int
    reached: bool


def select_size(measure: Measure, sizes: Sequence[int], target: Target) -> Selection:
    """The smallest size that meets the target.

    Sizes are tried upwards in groups until one meets it; then every gap below is bisected.  Where
    none does, the size with the best ASR among those that keep utility is taken (or, where none
    keeps it, the size with the least sum of both shortfalls).

    Args:
        measure: Effects of circuits by size.
        sizes: Sizes to try, ascending, without 0.
        target: What to meet.
    """
    intact = measure([0])[0]
    seen: dict[int, Effect] = {}
    for start in range(0, len(sizes), 4):
        group = sizes[start : start + 4]
        seen.update(zip(group, measure(group), strict=True))
        found = next((size for size in group if target.met(seen[size], intact)), None)
        if found is not None:
            below = max((size for size in seen if size < found), default=0)
            return Selection(_bisect(measure, below, found, target, intact), True)
    return Selection(min(seen, key=lambda size: _regret(seen[size], intact, target)), False)


def _bisect(measure: Measure, low: int, high: int, target: Target, intact: Effect) -> int:
    """The smallest size in (low, high] that meets the target, `high` being known to."""
    while high - low > 1:
        middle = (low + high) // 2
        if target.met(measure([middle])[0], intact):
            high = middle
        else:
            low = middle
    return high


def _regret(effect: Effect, intact: Effect, target: Target) -> tuple[bool, float]:
    lost = target.utility - effect.retention(intact)
    if lost <= 0:
        return False, target.shortfall(effect)
    return True, max(0.0, target.shortfall(effect)) + lost
