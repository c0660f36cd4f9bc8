"""Greedy order: the parts of a circuit, each the one that adds most to those before it.

Elimination says which parts a circuit needs and not which to take first.  Forward selection does:
it starts from nothing and adds at each step the part whose addition achieves most.  Parts that
work only together achieve nothing alone, so a greedy order need not be the best one at every size
(it comes with a guarantee only where what each part adds shrinks as others are there: Nemhauser,
Wolsey & Fisher 1978, Mathematical Programming 14:265-294).

It goes on beyond a circuit: one that meets its target may leave some attacks as they are, and the
part that ends most of these is the next in line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

import numpy as np
from jaxtyping import Bool

from circuitviz.evaluation.effect import Effect
from circuitviz.evaluation.evaluator import Evaluator
from circuitviz.evaluation.refinement import behaviour_gone, parts_of
from circuitviz.evaluation.truth import achieved
from circuitviz.progress import OnProgress, unwatched
from circuitviz.units import Circuit, Ranking

Pairs = Bool[np.ndarray, "circuits attacks"]

# Circuits of more parts keep their order: k parts take k (k + 1) / 2 looks.
MAX_ORDERED = 16
# Most prompts of each role behind a look.
PROMPTS = 64
# Beyond a circuit: most parts put in line, most parts tried for each place, most attacks to try
# them on, and how many of the tried ones are then measured on all prompts.
MAX_ADDED, MAX_TRIED, MAX_LEFT, MEASURED = 4, 64, 32, 2


def order_greedily(
    evaluator: Evaluator,
    ranking: Ranking,
    circuit: Circuit,
    *,
    on_progress: OnProgress = unwatched,
) -> list[Circuit]:
    """The parts of a circuit, each the one that achieves most beside those before it.

    Where several achieve as much, the one that takes the behaviour furthest away in nats a token
    comes first, then the one that is higher up in the ranking.  The effects of k parts take
    k (k + 1) / 2 looks at the evaluator's prompts, the intact model's included: all candidates of a
    step at once, and none for the last part.  Ties take no more looks than that again, at attacks
    alone.

    Args:
        evaluator: At most `PROMPTS` validation prompts of each role.
        ranking: Where the circuit was cut from.
        circuit: What to put into order.
        on_progress: Told the share that is done before each batch; may raise to stop.

    Returns:
        The parts; the whole circuit as the only one where it has more than `MAX_ORDERED`.
    """
    space = ranking.space
    place = {int(flat): rank for rank, flat in enumerate(ranking.order)}
    left = sorted(
        parts_of(ranking, circuit), key=lambda part: min(place[space.flat(unit)] for unit in part)
    )
    if len(left) > MAX_ORDERED:
        return [circuit]
    chosen: list[Circuit] = []
    taken = Circuit(space, frozenset())
    intact: Effect | None = None
    while len(left) > 1:
        tried = [Circuit(space, taken.units | part.units) for part in left]
        first = [taken] if intact is None else []
        effects = evaluator.effects([*first, *tried], on_progress=on_progress)
        intact = intact or effects.pop(0)
        best = _best(evaluator, tried, [_share(evaluator, effect, intact) for effect in effects])
        taken = tried[best]
        chosen.append(left.pop(best))
    return chosen + left


def find_runners_up(
    evaluator: Evaluator,
    ranking: Ranking,
    circuit: Circuit,
    *,
    on_progress: OnProgress = unwatched,
) -> list[Circuit]:
    """The parts that end most of what a circuit leaves, each beside those before it.

    The best `MAX_TRIED` parts outside the circuit are tried on the attacks that are left: those
    without the right answer, or those refused.  Of the ones that end most, earlier ones in the
    ranking among equals, the next in line is the one with which most is achieved on all prompts;
    where that is no more than without it, the line ends.

    Args:
        evaluator: Validation prompts.
        ranking: Where the circuit was cut from.
        circuit: What stands before them; one of more than `MAX_ORDERED` parts is left alone.
        on_progress: Told the share that is done before each batch; may raise to stop.

    Returns:
        At most `MAX_ADDED` parts outside the circuit.
    """
    if not 0 < len(parts_of(ranking, circuit)) <= MAX_ORDERED:
        return []

    def ended(circuits: Sequence[Circuit], wanted: Pairs | None = None) -> Pairs:
        if evaluator.behaviour.kind == "refusal":
            return evaluator.succeeds(circuits, wanted=wanted, on_progress=on_progress)
        return evaluator.scores("after", circuits, wanted=wanted, on_progress=on_progress).match

    nothing = Circuit(circuit.space, frozenset())
    intact, now = evaluator.effects([nothing, circuit], on_progress=on_progress)
    achieved_now = _share(evaluator, now, intact)
    candidates = list(islice(_outside(ranking, circuit), MAX_TRIED))
    taken, runners_up = circuit, list[Circuit]()
    while len(runners_up) < MAX_ADDED and candidates:
        left = ~ended([taken])[0]
        left[np.flatnonzero(left)[MAX_LEFT:]] = False
        if not left.any():
            break
        tried = [Circuit(circuit.space, taken.units | part.units) for part in candidates]
        wanted = np.tile(left, (len(tried), 1))
        counts = ended(tried, wanted).sum(1)
        likely = np.argsort(-counts, kind="stable")[:MEASURED]
        likely = [int(index) for index in likely if counts[index]]
        if not likely:
            break
        effects = evaluator.effects([tried[index] for index in likely], on_progress=on_progress)
        shares = [_share(evaluator, effect, intact) for effect in effects]
        if max(shares) <= achieved_now:
            break
        achieved_now = max(shares)
        best = likely[shares.index(achieved_now)]
        taken = tried[best]
        runners_up.append(candidates.pop(best))
    return runners_up


def _outside(ranking: Ranking, circuit: Circuit) -> Iterator[Circuit]:
    """The parts that are not in the circuit, from the top of the ranking down."""
    for start, end in pairwise(ranking.cuts):
        units = frozenset(ranking.space.unit(int(flat)) for flat in ranking.order[start:end])
        if not units & circuit.units:
            yield Circuit(ranking.space, units)


def _best(evaluator: Evaluator, tried: Sequence[Circuit], shares: Sequence[float]) -> int:
    """The place of the candidate that achieves most, of equal ones as `order_greedily` says."""
    equal = [index for index, share in enumerate(shares) if share == max(shares)]
    if len(equal) == 1:
        return equal[0]
    gone = behaviour_gone(evaluator, [tried[index] for index in equal], evaluator.behaviour.kind)
    return equal[int(np.argmax(gone))]


def _share(evaluator: Evaluator, effect: Effect, intact: Effect) -> float:
    return achieved(
        evaluator.behaviour.kind,
        asr=effect.asr.rate,
        recovery=effect.recovery.rate,
        retention=effect.retention(intact),
    )
