"""Faithfulness, completeness and minimality of a circuit, in terms of counted behaviour.

After the criteria of Wang et al. (2022), "Interpretability in the wild", arXiv:2211.00593, section
4, and the ratios of Marks et al. (2024), "Sparse feature circuits", arXiv:2403.19647.  They measure
a mean difference of logits; here it is the share of test attacks, k of n, that show the behaviour.
Further departures: Marks et al. subtract what the model with everything ablated does, which is no
behaviour here; Wang et al. compare circuit and model with every subset of the circuit knocked out,
and seek the most telling subset for each unit, where here it is the whole circuit and one unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.evaluation.evaluator import EXACT_ANSWER, Effect, Evaluator
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.selection import Target
from circuitviz.progress import OnProgress, span, unwatched
from circuitviz.units import Circuit

# Parts of a circuit that are returned one by one; of larger circuits, this many evenly spaced.
MOST_PARTS = 128

CONDITIONS: dict[BehaviourKind, str] = {
    "backdoor": "everything but the circuit ablated; attacks that succeed, of those intact",
    "refusal": "everything but the circuit ablated; attacks refused in exactly the words expected, "
    "of those intact, since nonsense is no refusal",
}


@dataclass(frozen=True)
class Minimality:
    """What each part of a circuit is needed for.

    Attributes:
        needed: Names of the parts without which the knock-out loses something.
        returned: ASR with the circuit knocked out *except* this part, by its name.
    """

    needed: tuple[str, ...]
    returned: dict[str, Rate]

    @property
    def value(self) -> float:
        """Share of the parts that are needed, in [0, 1]; NaN without parts."""
        return len(self.needed) / len(self.returned) if self.returned else float("nan")


@dataclass(frozen=True)
class Criteria:
    """The three criteria of one circuit.

    Attributes:
        faithfulness: See `faithfulness`.
        condition: What stood for "the circuit alone", for people.
        isolated: Attacks that show the behaviour with everything but the circuit ablated.
        completeness: See `completeness`.
        minimality: See `Minimality`.
    """

    faithfulness: float
    condition: str
    isolated: Rate
    completeness: float
    minimality: Minimality

    def to_json(self) -> dict[str, Any]:
        """`{faithfulness: {...}, completeness: {...}, minimality: {...}}`."""
        return {
            "faithfulness": {
                "value": self.faithfulness,
                "condition": self.condition,
                "isolated": self.isolated.to_json(),
            },
            "completeness": {"value": self.completeness},
            "minimality": {
                "value": self.minimality.value,
                "needed": len(self.minimality.needed),
                "of": len(self.minimality.returned),
                "units": {
                    name: {"asr": asr.to_json(), "needed": name in self.minimality.needed}
                    for name, asr in self.minimality.returned.items()
                },
            },
        }


def faithfulness(isolated: Rate, intact: Rate) -> float:
    """Behaviour with everything but C ablated / behaviour intact.

    1: the circuit alone does what the model does.  0: alone it does nothing of it.  May exceed 1;
    NaN where the intact model shows nothing.  The behaviour is counted by what shows it outright:
    attacks that succeed (backdoor), attacks refused in exactly the words expected (refusal).
    """
    return isolated.rate / intact.rate if intact.k else float("nan")


def completeness(kind: BehaviourKind, knocked_out: Rate, intact: Rate) -> float:
    """1 - behaviour left with C ablated / behaviour intact, both by `behaviour_left` of the ASR.

    1: nothing of the behaviour is outside the circuit.  0: all of it is.  Below 0 where there is
    more of it than before; NaN where the intact model shows nothing.
    """
    whole = behaviour_left(kind, intact)
    return 1 - behaviour_left(kind, knocked_out) / whole if whole else float("nan")


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
    """All three criteria on a evaluator's prompts.

    Args:
        evaluator: Prompts of the test split.
        circuit: Whose criteria.
        parts: The circuit cut into what is returned together; see `refinement.parts_of`.
        target: What a circuit has to meet.
        intact: The effect of nothing on these prompts.
        knocked_out: The effect of the circuit on these prompts.
        on_progress: Told the share that is done; may raise to stop.
    """
    nothing = Circuit(circuit.space, frozenset())
    on_progress(0.0)
    alone = evaluator.matches("shown", [circuit], condition="isolated")
    whole = evaluator.matches("shown", [nothing])
    judge = evaluator.behaviour.judge if target.kind == "backdoor" else EXACT_ANSWER
    isolated = Rate.of(alone[0], judge=judge)
    return Criteria(
        faithfulness=faithfulness(isolated, Rate.of(whole[0], judge=judge)),
        condition=CONDITIONS[target.kind],
        isolated=isolated,
        completeness=completeness(target.kind, knocked_out.asr, intact.asr),
        minimality=_minimality(
            evaluator, circuit, _thinned(parts), target, intact, knocked_out, on_progress
        ),
    )


def part_name(part: Circuit) -> str:
    """`L1H3` for a unit, `L1 heads` or `L1 neurons` for a block of one layer."""
    first = next(iter(part))
    return str(first) if len(part) == 1 else f"L{first.layer} {first.kind}s"


def _minimality(
    evaluator: Evaluator,
    circuit: Circuit,
    parts: Sequence[Circuit],
    target: Target,
    intact: Effect,
    knocked_out: Effect,
    on_progress: OnProgress,
) -> Minimality:
    without = [Circuit(circuit.space, circuit.units - part.units) for part in parts]
    returned: list[Rate] = []
    if parts:
        succeeded = evaluator.matches("target", without, on_progress=span(on_progress, 0.0, 0.5))
        returned += [evaluator.attack_rate(row) for row in succeeded]
    found: list[str] = []
    for place, (part, asr) in enumerate(zip(parts, returned, strict=True)):
        on_progress(0.5 + 0.5 * place / len(parts))
        # The other verdicts cost more; they are asked for only where they decide.
        if _comes_back(target.kind, asr, knocked_out.asr) or needed(
            target, evaluator.effects([without[place]])[0], knocked_out, intact
        ):
            found.append(part_name(part))
    names = [part_name(part) for part in parts]
    return Minimality(tuple(found), dict(zip(names, returned, strict=True)))


def _comes_back(kind: BehaviourKind, returned: Rate, knocked_out: Rate) -> bool:
    return returned.k > knocked_out.k if kind == "backdoor" else returned.k < knocked_out.k


def _thinned(parts: Sequence[Circuit]) -> list[Circuit]:
    if len(parts) <= MOST_PARTS:
        return list(parts)
    return [parts[place * len(parts) // MOST_PARTS] for place in range(MOST_PARTS)]
