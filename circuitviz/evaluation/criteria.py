"""Faithfulness, completeness and minimality of a circuit, and the circuit alone by degrees.

After the criteria of Wang et al. (2022), "Interpretability in the wild", arXiv:2211.00593, section
4, and the ratios of Marks et al. (2024), "Sparse feature circuits", arXiv:2403.19647.  They measure
a mean difference of logits; here it is the share of test attacks, k of n, that show the behaviour.
Further departures: Marks et al. subtract what the model with everything ablated does, which is no
behaviour here; Wang et al. compare circuit and model with every subset of the circuit knocked out,
and seek the most telling subset for each unit, where here it is the whole circuit and one unit.

With *all* else ablated a model says nothing sensible, whatever the circuit is.  So the complement
is also ablated at random, a share of it at a time: a circuit that carries the behaviour should keep
it longer than a random circuit of the same make-up does.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np
from jaxtyping import Bool

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.evaluation.effect import Effect, Target
from circuitviz.evaluation.evaluator import AnswerCheck, Evaluator
from circuitviz.evaluation.judge import EXACT_ANSWER
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import (
    Completeness,
    Criteria,
    Faithfulness,
    Minimality,
    ReturnedUnit,
    StochasticRates,
)
from circuitviz.progress import OnProgress, span, unwatched
from circuitviz.units import Circuit, random_matched

# Parts of a circuit that are returned one by one; of larger circuits, this many evenly spaced.
_MAX_PARTS = 128
# Shares of the complement that are ablated.
_SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
# Draws of each share; one where everything is ablated, since all draws are the same then.
_DRAWS = 16
# Which units a draw leaves out decides about all prompts alike, so many draws that each see every
# fourth prompt, in turn, tell more than few that see all.
STRIDE = 4

_CONDITIONS: dict[BehaviourKind, str] = {
    "backdoor": "everything but the circuit ablated; attacks that succeed, of those intact",
    "refusal": "everything but the circuit ablated; attacks refused in exactly the words expected, "
    "of those intact, since nonsense is no refusal",
}


def faithfulness(isolated: Rate, intact: Rate) -> float:
    """Behaviour with everything but C ablated / behaviour intact.

    1: the circuit alone does what the model does.  0: alone it does nothing of it.  May exceed 1;
    NaN where the intact model shows nothing.  The behaviour is counted by what shows it outright:
    attacks that succeed (backdoor), attacks refused in exactly the words expected (refusal).
    """
    return isolated.rate / intact.rate if intact.k else nan


def completeness(kind: BehaviourKind, knocked_out: Rate, intact: Rate) -> float:
    """1 - behaviour left with C ablated / behaviour intact, both by `behaviour_left` of the ASR.

    1: nothing of the behaviour is outside the circuit.  0: all of it is.  Below 0 where there is
    more of it than before; NaN where the intact model shows nothing.
    """
    whole = behaviour_left(kind, intact)
    return 1 - behaviour_left(kind, knocked_out) / whole if whole else nan


def behaviour_left(kind: BehaviourKind, asr: Rate) -> float:
    """Share of attacks on which the behaviour shows: ASR (backdoor), 1 - ASR (refusal)."""
    return asr.rate if kind == "backdoor" else 1 - asr.rate


def needed(target: Target, returned: Effect, knocked_out: Effect, intact: Effect) -> bool:
    """Whether a part is needed: the circuit knocked out without it does worse.

    It does where at least one attack more shows the behaviour, or where the target is lost that
    the whole circuit meets.

    Args:
        target: What a circuit has to meet.
        returned: The circuit knocked out except for this part.
        knocked_out: The whole circuit knocked out.
        intact: Nothing knocked out.
    """
    lost = target.met(knocked_out, intact) and not target.met(returned, intact)
    return lost or _comes_back(target.kind, returned.asr, knocked_out.asr)


def measure_criteria(
    evaluator: Evaluator,
    circuit: Circuit,
    parts: Sequence[Circuit],
    target: Target,
    *,
    intact: Effect,
    knocked_out: Effect,
    on_progress: OnProgress = unwatched,
) -> Criteria:
    """All three criteria on an evaluator's prompts.

    Args:
        evaluator: Prompts of the test split.
        circuit: Whose criteria.
        parts: The circuit cut into what is returned together; see `refinement.parts_of`.
        target: What a circuit has to meet.
        intact: The effect of nothing on these prompts.
        knocked_out: The effect of the circuit on these prompts.
        on_progress: Told the share that is done; may raise to stop.
    """
    on_progress(0.0)
    nothing = Circuit(circuit.space, frozenset())
    shown = (
        evaluator.shows([circuit], condition="isolated")[0],
        evaluator.shows([nothing])[0],
    )
    alone, whole = (Rate.of(one, judge=evaluator.shown_judge) for one in shown)
    if len(parts) > _MAX_PARTS:
        parts = [parts[index * len(parts) // _MAX_PARTS] for index in range(_MAX_PARTS)]
    without = [Circuit(circuit.space, circuit.units - part.units) for part in parts]
    returned: dict[str, ReturnedUnit] = {}
    asrs: list[Rate] = []
    if parts:
        succeeded = evaluator.succeeds(without, on_progress=span(on_progress, 0.0, 0.5))
        asrs = list(map(evaluator.attack_rate, succeeded))
    for index, (part, asr) in enumerate(zip(parts, asrs, strict=True)):
        on_progress(0.5 + 0.5 * index / len(parts))
        # The other verdicts cost more; they are asked for only where they decide.
        is_needed = _comes_back(target.kind, asr, knocked_out.asr) or needed(
            target, evaluator.effects([without[index]])[0], knocked_out, intact
        )
        returned[part_name(part)] = ReturnedUnit(asr=asr, needed=is_needed)
    return Criteria(
        faithfulness=Faithfulness(
            value=faithfulness(alone, whole), condition=_CONDITIONS[target.kind], isolated=alone
        ),
        completeness=Completeness(value=completeness(target.kind, knocked_out.asr, intact.asr)),
        minimality=minimality(returned),
    )


def minimality(returned: dict[str, ReturnedUnit]) -> Minimality:
    """The share of the parts that are needed, in [0, 1]; NaN without parts."""
    count = sum(part.needed for part in returned.values())
    value = count / len(returned) if returned else nan
    return Minimality(value=value, needed=count, of=len(returned), units=returned)


def part_name(part: Circuit) -> str:
    """`L1H3` for a unit, `L1 heads` or `L1 neurons` for a block of one layer."""
    first = next(iter(part))
    return str(first) if len(part) == 1 else f"L{first.layer} {first.kind}s"


def _comes_back(kind: BehaviourKind, returned: Rate, knocked_out: Rate) -> bool:
    return returned.k > knocked_out.k if kind == "backdoor" else returned.k < knocked_out.k


def ablate_complement(
    evaluator: Evaluator,
    circuit: Circuit,
    *,
    seed: int,
    on_progress: OnProgress = unwatched,
) -> list[StochasticRates]:
    """Keep a circuit and ablate random shares of all other units, `_SHARES` of them.

    The prompts of one draw rise and fall together, so the rates' intervals, which take every
    prompt of every draw for a new one, are narrower than the spread over draws.

    Args:
        evaluator: Prompts of the test split.
        circuit: What is kept.
        seed: Of the draws.
        on_progress: Told the share that is done; may raise to stop.
    """
    generator = np.random.default_rng(seed)
    points = []
    for index, share in enumerate(_SHARES):
        on_progress(index / len(_SHARES))
        draws = _DRAWS if share < 1 else 1
        kept = [random_share(circuit.complement, share, generator) for _ in range(draws)]
        others = [random_matched(circuit, generator) for _ in range(_DRAWS)]
        chance = [random_share(other.complement, share, generator) for other in others]
        asr, random_asr = (_asr(evaluator, ablated) for ablated in (kept, chance))
        shown, random_shown = asr, random_asr
        if evaluator.behaviour.kind == "refusal":
            shown, random_shown = (
                _exact(evaluator, "refusal", ablated) for ablated in (kept, chance)
            )
        utility = _exact(evaluator, "benign", kept)
        points.append(
            StochasticRates(
                share=share,
                asr=asr,
                random_asr=random_asr,
                shown=shown,
                random_shown=random_shown,
                utility=utility,
            )
        )
    return points


def _asr(evaluator: Evaluator, ablated: Sequence[Circuit]) -> Rate:
    wanted = _looked_at(len(ablated), len(evaluator.attacks))
    return evaluator.attack_rate(evaluator.succeeds(ablated, wanted=wanted)[wanted])


def _exact(evaluator: Evaluator, check: AnswerCheck, ablated: Sequence[Circuit]) -> Rate:
    wanted = _looked_at(len(ablated), len(evaluator.rows(check)))
    return Rate.of(
        evaluator.scores(check, ablated, wanted=wanted).match[wanted], judge=EXACT_ANSWER
    )


def _looked_at(draws: int, prompts: int) -> Bool[np.ndarray, "draws prompts"]:
    """Which prompts a draw sees: a single one sees all, several a part each."""
    stride = STRIDE if draws > 1 else 1
    return np.arange(prompts) % stride == np.arange(draws)[:, None] % stride


def random_share(units: Circuit, share: float, generator: np.random.Generator) -> Circuit:
    """A random share of some units, rounded to whole ones."""
    flat = np.flatnonzero(units.mask())
    drawn = generator.choice(flat, size=round(share * len(flat)), replace=False)
    return Circuit(units.space, frozenset(units.space.unit(int(index)) for index in drawn))
