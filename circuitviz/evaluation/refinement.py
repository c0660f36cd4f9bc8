"""Backward elimination: drop every unit of a circuit that the target can do without.

Parts of the circuit are left out in chunks, from half the circuit down to single parts, and stay
out where the rest still meets the target: delta debugging (Zeller & Hildebrandt 2002,
"Simplifying and isolating failure-inducing input", IEEE TSE 28(2):183-200), of which this is the
complement half.  It ends once every single part has been left out of the *final* circuit and
found to be needed there: the result is 1-minimal on the prompts it was verified on.  Smaller
circuits may exist; only leaving out several needed parts at once could find them.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.evaluation.effect import Effect, PromptVerdicts, Target
from circuitviz.evaluation.evaluator import AnswerCheck, Evaluator
from circuitviz.evaluation.results import RefinementResult
from circuitviz.evaluation.selection import Selection
from circuitviz.progress import OnProgress, unwatched
from circuitviz.units import Circuit, Ranking, Unit, groups

Prompts = Bool[np.ndarray, " prompts"]

# Attack prompts looked at first, the ones that have told circuits apart most often.
FIRST_PROMPTS = 32

Part = TypeVar("Part")
# Circuits of more units (or blocks) are left as they are: each costs at least one look.
_MAX_PARTS = 64
# Tokens run through the model, for the order and for verifying, before elimination stops with what
# it has; as many as learning runs, at a third of the time.
BUDGET = 180_000
# Smaller circuits tried where answers are open and a look takes seconds.
OPEN_LOOKS = 6
# Attack prompts behind the order in which units are left out.
ORDER_PROMPTS = 16


class TargetCheck:
    """Whether circuits meet the target on a evaluator's prompts, on no more of them than it takes.

    Prompts not looked at count in the circuit's favour.  So a circuit that misses even so is
    refused for good, and one that is accepted was seen on every prompt: the answer is exactly
    that of `Target.met` on all prompts, under the same lead that choosing a size asks for.

    Args:
        evaluator: Prompts of the validation split.
        target: What to meet.
        on_progress: Told the share that is done before each batch; may raise to stop.

    Attributes:
        tokens: What finding out has cost so far.
    """

    def __init__(
        self, evaluator: Evaluator, target: Target, *, on_progress: OnProgress = unwatched
    ) -> None:
        self.tokens = 0
        self._evaluator = evaluator
        self._target = target
        self._on_progress = on_progress
        nothing = Circuit(evaluator.model.space, frozenset())
        everything = np.ones(len(evaluator.benign), dtype=bool)
        answered = self._ask("benign", nothing, everything)
        self._intact = Effect.of(
            replace(self._hoped_for(), utility=answered), judge=evaluator.judge_name
        )
        self._failures = np.zeros(len(evaluator.attacks), dtype=int)

    def meets(self, circuit: Circuit) -> bool:
        """Whether this circuit, knocked out, meets the target."""
        verdicts = self._hoped_for()
        seen = {"target": verdicts.asr, "after": verdicts.recovery, "benign": verdicts.utility}
        for check, wanted in self._looks():
            answers = self._ask(check, circuit, wanted)[wanted]
            if check == "target":
                self._failures[wanted] += answers != verdicts.asr[wanted]
            seen[check][wanted] = answers
            effect = Effect.of(verdicts, judge=self._evaluator.judge_name)
            if not self._target.met(effect, self._intact):
                return False
        return True

    def _looks(self) -> Iterator[tuple[AnswerCheck, Prompts]]:
        """What to look at, the cheapest way to a refusal first."""
        attacks = np.ones(len(self._failures), dtype=bool)
        first = ~attacks
        first[np.argsort(-self._failures, kind="stable")[:FIRST_PROMPTS]] = True
        yield "target", first
        yield "target", ~first
        # Refusal asks nothing more of an attack than that it succeeds.
        if self._target.kind == "backdoor":
            yield "after", attacks
        yield "benign", np.ones(len(self._evaluator.benign), dtype=bool)

    def _hoped_for(self) -> PromptVerdicts:
        attacks, benign = len(self._evaluator.attacks), len(self._evaluator.benign)
        succeeds = np.full(attacks, self._target.kind == "refusal")
        return PromptVerdicts(succeeds, np.ones(attacks, dtype=bool), np.ones(benign, dtype=bool))

    def _ask(self, check: AnswerCheck, circuit: Circuit, wanted: Prompts) -> Prompts:
        self.tokens += int(self._evaluator.rows(check).lengths.numpy()[wanted].sum())
        options = {"wanted": wanted[None], "on_progress": self._on_progress}
        if check == "target":
            return self._evaluator.succeeds([circuit], lead=self._target.caution, **options)[0]
        return self._evaluator.scores(check, [circuit], **options).match[0]


@dataclass(frozen=True)
class Refinement:
    """What elimination did.

    Attributes:
        circuit: What is left.
        dropped: What was left out for good, in order of kind, layer and index.
        restored: Chunks and single parts that were left out, lost the target and came back.
        complete: Whether every part left was found to be needed beside all the others.
        note: Why not, for people.
        runners_up: Units outside that end most of what the circuit leaves, the next one first.
    """

    circuit: Circuit
    dropped: tuple[Unit, ...] = ()
    restored: int = 0
    complete: bool = True
    note: str | None = None
    runners_up: tuple[Unit, ...] = ()

    @property
    def result(self) -> RefinementResult:
        """As a run keeps it."""
        return RefinementResult(
            before=len(self.circuit) + len(self.dropped),
            after=len(self.circuit),
            dropped=[str(unit) for unit in self.dropped],
            restored=self.restored,
            complete=self.complete,
            note=self.note,
            next=[str(unit) for unit in self.runners_up],
        )


def refine_selection(
    evaluator: Evaluator,
    few: Evaluator,
    ranking: Ranking,
    selection: Selection,
    target: Target,
    *,
    on_progress: OnProgress = unwatched,
) -> Refinement:
    """Leave out of a chosen circuit what can go without anything getting worse.

    A drop is verified against what the whole circuit achieves, not against the target alone: no
    verdict that it won may be lost on the way.

    Args:
        evaluator: All validation prompts.
        few: Some of them, for the order in which units are tried.
        ranking: Where the circuit was cut from.
        selection: The circuit, and whether it meets the target.
        target: What it was chosen for.
        on_progress: Told the share that is done before each batch; may raise to stop.
    """
    circuit = selection.circuit
    if not selection.reached:
        note = "the circuit misses its target, so no drop can be verified"
        return Refinement(circuit, complete=False, note=note)
    parts = parts_of(ranking, circuit)
    if len(parts) > _MAX_PARTS:
        note = f"only circuits of at most {_MAX_PARTS} units are refined"
        return Refinement(circuit, complete=False, note=note)
    nothing = Circuit(circuit.space, frozenset())
    intact, whole = evaluator.effects(
        [nothing, circuit], lead=target.caution, on_progress=on_progress
    )
    check = TargetCheck(evaluator, target.no_worse_than(whole, intact), on_progress=on_progress)
    ordered, spent = order_parts(few, parts, target.kind)
    return refine(check, circuit, ordered, spent=spent)


def refine_open(
    evaluator: Evaluator,
    ranking: Ranking,
    selection: Selection,
    target: Target,
    *,
    looks: int = OPEN_LOOKS,
    on_progress: OnProgress = unwatched,
) -> Refinement:
    """Leave out of a circuit chunks without which nothing gets worse, where answers are open.

    Every look runs all validation prompts through a large model, so there are few of them: chunks
    of half the circuit first, the worst-ranked units before the others, then ever smaller ones.

    Args:
        evaluator: All validation prompts.
        ranking: Where the circuit was cut from.
        selection: The circuit, whether or not it meets its target.
        target: What it was chosen for.
        looks: How many smaller circuits are tried.
        on_progress: Told the share that is done before each batch; may raise to stop.
    """
    circuit = selection.circuit
    place = {int(flat): rank for rank, flat in enumerate(ranking.order)}
    parts = sorted(
        parts_of(ranking, circuit),
        key=lambda part: -min(place[ranking.space.flat(unit)] for unit in part),
    )
    nothing = Circuit(circuit.space, frozenset())
    intact, whole = evaluator.effects([nothing, circuit], on_progress=on_progress)
    least, tried = target.regret(whole, intact), 0

    def suffices(left: Circuit) -> bool:
        nonlocal tried
        tried += 1
        (effect,) = evaluator.effects([left], on_progress=on_progress)
        return target.regret(effect, intact) <= least

    return _refined(circuit, parts, suffices, lambda: tried >= looks, f"after {looks} looks")


def refine(
    check: TargetCheck,
    circuit: Circuit,
    parts: Sequence[Circuit],
    *,
    spent: int = 0,
    budget: int = BUDGET,
) -> Refinement:
    """Leave out of a circuit that meets the target whatever it does not need.

    Args:
        check: What verifies each drop.
        circuit: A circuit that meets the target.
        parts: The circuit cut into what is left out together, the least needed first.
        spent: Tokens already used up.
        budget: Tokens after which to stop with what is left by then.
    """
    return _refined(
        circuit, parts, check.meets, lambda: spent + check.tokens >= budget, "at its budget"
    )


def _refined(
    circuit: Circuit,
    parts: Sequence[Circuit],
    suffices: Callable[[Circuit], bool],
    spent: Callable[[], bool],
    stopped: str,
) -> Refinement:
    """Eliminate parts while what is left of the circuit suffices, or until all is spent."""

    def together(kept: Sequence[Circuit]) -> Circuit:
        return Circuit(circuit.space, frozenset(unit for part in kept for unit in part))

    kept, restored, complete = eliminate(parts, lambda kept: suffices(together(kept)), spent=spent)
    left = together(kept)
    note = None if complete else f"stopped {stopped}: further units may not be needed"
    return Refinement(left, tuple(sorted(circuit.units - left.units)), restored, complete, note)


def eliminate(
    parts: Sequence[Part],
    suffices: Callable[[Sequence[Part]], bool],
    *,
    spent: Callable[[], bool] = lambda: False,
) -> tuple[list[Part], int, bool]:
    """Leave out chunks of `parts`, ever smaller ones, while the rest suffices.

    Args:
        parts: What all together suffices; the first ones are left out first.
        suffices: Whether some of the parts do.
        spent: Whether to stop.

    Returns:
        The parts that are left, how many chunks came back, and whether each part left was found
        to be needed beside all the others.
    """
    kept = deque(parts)
    restored = 0
    size = max(1, len(kept) // 2)
    while True:
        untried = len(kept)
        while untried:
            if spent():
                return list(kept), restored, False
            if len(kept) == 1:
                # The last part stays: no circuit at all is no finding.
                return list(kept), restored, True
            chunk = [kept.popleft() for _ in range(min(size, untried, len(kept) - 1))]
            untried -= len(chunk)
            if not suffices(tuple(kept)):
                kept.extend(chunk)
                restored += 1
            elif size == 1:
                # What was needed beside this part need not be needed without it.
                untried = len(kept)
        if size == 1:
            return list(kept), restored, True
        size //= 2


def parts_of(ranking: Ranking, circuit: Circuit) -> list[Circuit]:
    """A circuit cut into what its granularity keeps together: single units, or whole blocks."""
    index = groups(ranking.space, ranking.granularity)
    parts: dict[int, set[Unit]] = defaultdict(set)
    for unit in circuit:
        parts[int(index[ranking.space.flat(unit)])].add(unit)
    return [Circuit(ranking.space, frozenset(units)) for units in parts.values()]


def order_parts(
    evaluator: Evaluator, parts: Sequence[Circuit], kind: BehaviourKind
) -> tuple[list[Circuit], int]:
    """The parts of a circuit, the least needed first, and the tokens it took to find out.

    A part is needed as far as the behaviour comes back, in nats a token, when all the others are
    knocked out without it.
    """
    whole = frozenset(unit for part in parts for unit in part)
    without = [Circuit(part.space, whole - part.units) for part in parts]
    need = -behaviour_gone(evaluator, without, kind)
    tokens = int(evaluator.rows("target").lengths.sum())
    if kind == "backdoor":
        tokens += int(evaluator.rows("after").lengths.sum())
    return [parts[int(index)] for index in np.argsort(need, kind="stable")], tokens * len(parts)


def behaviour_gone(
    evaluator: Evaluator, circuits: Sequence[Circuit], kind: BehaviourKind
) -> Float[np.ndarray, " circuits"]:
    """How far the behaviour is gone with each knocked out, nats a token.

    Refusal: the mean log-probability of complying.  Backdoor: by how much that of the right answer
    is above that of the attack's target.
    """
    target = evaluator.scores("target", circuits).log_prob.mean(1)
    if kind == "refusal":
        return target
    return evaluator.scores("after", circuits).log_prob.mean(1) - target


def rerank(ranking: Ranking, parts: Sequence[Circuit], dropped: Sequence[Unit] = ()) -> Ranking:
    """A ranking with the parts of a circuit on top.

    The sorted scores are handed out again: the parts come first, in the order given, then the
    dropped units, then all others.  Units of a part, the dropped ones and the others each keep
    their old order.  Where equal scores would undo this, the better ones are raised by the
    smallest step there is.
    """
    space, last = ranking.space, len(parts)
    place = dict.fromkeys((space.flat(unit) for unit in dropped), last)
    place.update((space.flat(unit), at) for at, part in enumerate(parts) for unit in part)
    order = sorted(ranking.order.tolist(), key=lambda index: place.get(index, last + 1))
    values = np.sort(ranking.scores)[::-1].copy()
    for index in reversed(range(min(len(place), len(values) - 1))):
        step = np.nextafter(values[index + 1], np.inf, dtype=values.dtype)
        values[index] = max(values[index], step)
    scores = np.empty_like(values)
    scores[order] = values
    return replace(ranking, scores=scores)
