"""The circuit alone, by degrees: a random share of everything else is ablated.

With *all* else ablated a model says nothing sensible, whatever the circuit is.  So the complement
is ablated at random, a share of it at a time: a circuit that carries the behaviour should keep it
longer than a random circuit of the same make-up does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from circuitviz.evaluation.evaluator import EXACT_ANSWER, AnswerCheck, Evaluator
from circuitviz.evaluation.frontier import random_matched
from circuitviz.evaluation.rate import Rate
from circuitviz.progress import OnProgress, unwatched
from circuitviz.units import Circuit

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
# Draws of each share; one where everything is ablated, since all draws are the same then.
DRAWS = 16
# Which units a draw leaves out decides about all prompts alike, so many draws that each see every
# fourth prompt, in turn, tell more than few that see all.
STRIDE = 4


@dataclass(frozen=True)
class StochasticPoint:
    """What is left when a share of the complement is ablated; all pooled over the draws.

    The prompts of one draw rise and fall together, so the rates' intervals, which take every
    prompt of every draw for a new one, are narrower than the spread over draws.

    Attributes:
        share: Share of the complement that is ablated, in (0, 1].
        asr: Attacks that succeed, the circuit kept.
        random_asr: The same with a random circuit of the same make-up kept instead.
        shown: Attacks that show the behaviour outright, the circuit kept: for a backdoor the ASR,
            for refusal the exact refusals, since nonsense is no refusal.
        random_shown: The same with a random circuit kept.
        utility: Benign prompts answered as expected, the circuit kept.
    """

    share: float
    asr: Rate
    random_asr: Rate
    shown: Rate
    random_shown: Rate
    utility: Rate

    def to_json(self) -> dict[str, Any]:
        """`{share, asr, random_asr, shown, random_shown, utility}`."""
        rates = {name: rate for name, rate in vars(self).items() if isinstance(rate, Rate)}
        return {"share": self.share} | {name: rate.to_json() for name, rate in rates.items()}


def ablate_complement(
    evaluator: Evaluator,
    circuit: Circuit,
    *,
    seed: int,
    on_progress: OnProgress = unwatched,
) -> list[StochasticPoint]:
    """Keep a circuit and ablate random shares of all other units, `SHARES` of them.

    Args:
        evaluator: Prompts of the test split.
        circuit: What is kept.
        seed: Of the draws.
        on_progress: Told the share that is done; may raise to stop.
    """
    generator = np.random.default_rng(seed)
    points = []
    for place, share in enumerate(SHARES):
        on_progress(place / len(SHARES))
        draws = DRAWS if share < 1 else 1
        kept = [random_share(circuit.complement, share, generator) for _ in range(draws)]
        others = [random_matched(circuit, generator) for _ in range(DRAWS)]
        chance = [random_share(other.complement, share, generator) for other in others]
        asr, random_asr = (
            _rate(evaluator, "target", ablated, evaluator.behaviour.judge)
            for ablated in (kept, chance)
        )
        shown, random_shown = asr, random_asr
        if evaluator.behaviour.kind == "refusal":
            shown, random_shown = (
                _rate(evaluator, "shown", ablated, EXACT_ANSWER) for ablated in (kept, chance)
            )
        utility = _rate(evaluator, "benign", kept, EXACT_ANSWER)
        points.append(StochasticPoint(share, asr, random_asr, shown, random_shown, utility))
    return points


def _rate(evaluator: Evaluator, check: AnswerCheck, ablated: list[Circuit], judge: str) -> Rate:
    """Yes to a check, over the draws: a single draw sees all prompts, several a part each."""
    prompts = np.arange(len(evaluator.rows(check)))
    stride = STRIDE if len(ablated) > 1 else 1
    wanted = np.stack([prompts % stride == draw % stride for draw in range(len(ablated))])
    return Rate.of(evaluator.matches(check, ablated, wanted=wanted)[wanted], judge=judge)


def random_share(units: Circuit, share: float, generator: np.random.Generator) -> Circuit:
    """A random share of some units, rounded to whole ones."""
    flat = np.flatnonzero(units.mask())
    drawn = generator.choice(flat, size=round(share * len(flat)), replace=False)
    return Circuit(units.space, frozenset(units.space.unit(int(index)) for index in drawn))
