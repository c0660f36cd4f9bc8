"""Greedy order: the parts of a circuit, each the one that adds most to those before it.

Elimination says which parts a circuit needs and not which to take first.  Forward selection does:
it starts from nothing and adds at each step the part whose addition achieves most.  Parts that
work only together achieve nothing alone, so a greedy order need not be the best one at every size
(it comes with a guarantee only where what each part adds shrinks as others are there: Nemhauser,
Wolsey & Fisher 1978, Mathematical Programming 14:265-294).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from circuitviz.evaluation.effect import Effect, Probe
from circuitviz.evaluation.refinement import behaviour_gone, parts_of
from circuitviz.evaluation.truth import achieved
from circuitviz.units import Circuit, Ranking

__all__ = ["MOST_ORDERED", "PROMPTS", "in_order"]

# Circuits of more parts keep their order: k parts take k (k + 1) / 2 looks.
MOST_ORDERED = 16
# Most prompts of each role behind a look.
PROMPTS = 64


def in_order(
    probe: Probe,
    ranking: Ranking,
    circuit: Circuit,
    *,
    checkpoint: Callable[[], None] = lambda: None,
) -> list[Circuit]:
    """The parts of a circuit, each the one that achieves most beside those before it.

    Where several achieve as much, the one that takes the behaviour furthest away in nats a token
    comes first, then the one that is higher up in the ranking.  The effects of k parts take
    k (k + 1) / 2 looks at the probe's prompts, the intact model's included: all candidates of a
    step at once, and none for the last part.  Ties take no more looks than that again, at attacks
    alone.

    Args:
        probe: At most `PROMPTS` validation prompts of each role.
        ranking: Where the circuit was cut from.
        circuit: What to put into order.
        checkpoint: Called before each batch; may raise to stop.

    Returns:
        The parts; the whole circuit as the only one where it has more than `MOST_ORDERED`.
    """
    place = {int(flat): rank for rank, flat in enumerate(ranking.order)}
    space = ranking.space
    left = sorted(
        parts_of(ranking, circuit), key=lambda part: min(place[space.flat(unit)] for unit in part)
    )
    if len(left) > MOST_ORDERED:
        return [circuit]
    chosen: list[Circuit] = []
    taken = Circuit(space, frozenset())
    intact: Effect | None = None
    while len(left) > 1:
        tried = [Circuit(space, taken.units | part.units) for part in left]
        first = [taken] if intact is None else []
        effects = probe.effects([*first, *tried], checkpoint=checkpoint)
        intact = intact or effects.pop(0)
        best = _best(probe, tried, [_share(probe, effect, intact) for effect in effects])
        taken = tried[best]
        chosen.append(left.pop(best))
        checkpoint()
    return chosen + left


def _best(probe: Probe, tried: Sequence[Circuit], shares: Sequence[float]) -> int:
    """The place of the candidate that achieves most, of equal ones as `in_order` says."""
    equal = [index for index, share in enumerate(shares) if share == max(shares)]
    if len(equal) == 1:
        return equal[0]
    gone = behaviour_gone(probe, [tried[index] for index in equal], probe.behaviour.kind)
    return equal[int(np.argmax(gone))]


def _share(probe: Probe, effect: Effect, intact: Effect) -> float:
    return achieved(
        probe.behaviour.kind,
        asr=effect.asr.rate,
        recovery=effect.recovery.rate,
        retention=effect.retention(intact),
    )
