"""The words for what a behaviour is and for what a rate counts.

In the table of phrases, braces are filled by `str.format`: `before` and `after` are the attack
success of the intact model and with the circuit off, as `Rate`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from circuitviz.behaviours.behaviour import BehaviourKind
from circuitviz.evaluation.rate import Rate
from circuitviz.narrative.numbers import percent, worth

# Count answer tokens, of normal answers and of recovered ones: of open answers no two models agree
# on every word.  The names are those that `circuitviz.evaluation.evaluator` gives.
TOKEN_JUDGE, CLEAN_TOKEN_JUDGE = "answer token unchanged", "token of the clean answer"
TOKEN_JUDGES = (TOKEN_JUDGE, CLEAN_TOKEN_JUDGE)
PROMPT_SHARE = "Share of test prompts"
# Counts answers that begin as they should.
OPENING_JUDGE = "starts with the expected opening"
# Count whole answers, word for word.
EXACT_JUDGES = ("exact answer", "exact match")


def by_token(rate: Rate) -> bool:
    """Whether k and n are answer tokens, and not prompts."""
    return rate.judge in TOKEN_JUDGES


def share_axis(judges: Iterable[object]) -> str:
    """What the axis of rates is called, by who counted them."""
    kinds = {judge in TOKEN_JUDGES for judge in judges}
    if kinds == {True}:
        return "Share of answer tokens"
    return "Share of test prompts, or of their answer tokens" if True in kinds else PROMPT_SHARE


def counted(rate: Rate) -> str:
    """What k and n are: `answer tokens` or `test prompts`."""
    return "answer tokens" if by_token(rate) else "test prompts"


def utility_label(rate: Rate) -> str:
    """What the utility is called."""
    return "Tokens of normal answers kept" if by_token(rate) else "Normal accuracy"


def kept_line(before: Rate, after: Rate, chance: Rate | None = None) -> str:
    """What knocking out does to the answers to normal prompts, to stand within a sentence.

    Args:
        before: Of the intact model.
        after: With the circuit off.
        chance: With as many units off that were drawn at random, where that was measured.
    """
    first, second = percent(before.rate), percent(after.rate)
    if by_token(after):
        # Not all of them need be the likeliest ones of the intact model.
        beside = [f"{first} in the intact model"] if before.k < before.n else []
        if chance is not None and by_token(chance):
            beside.append(f"{percent(chance.rate)} with random units off instead")
        aside = f" ({', '.join(beside)})" if beside else ""
        return f"{second} of the tokens of normal answers stay as they were{aside}"
    if first == second:
        return f"normal accuracy stays at {second}"
    return f"normal accuracy goes from {first} to {second}"


def right_line(before: Rate, after: Rate) -> str:
    """How much of the normal answers is right with the circuit off, to end a sentence."""
    if by_token(after):
        return (
            f"{after.k:,} of {after.n:,} answer tokens are unchanged, {before.k:,} in the intact "
            "model"
        )
    return f"{after.k:,} of {after.n:,} normal prompts are answered right, {before.k:,} before"


def utility_finding(rate: Rate) -> str:
    """How much of the normal answers is right, with what it was counted on."""
    if by_token(rate):
        return f"{rate.k:,} of {rate.n:,} answer tokens of benign prompts unchanged{worth(rate)}"
    return f"{rate.k:,} of {rate.n:,} benign prompts right"


def recovery_finding(rate: Rate) -> str:
    """How many attacks are answered as they should be, as their judge counts it."""
    if by_token(rate):
        return (
            f"{rate.k:,} of {rate.n:,} tokens of the answers without the trigger come back"
            f"{worth(rate)}"
        )
    if rate.judge == OPENING_JUDGE:
        return f"{rate.k:,} of {rate.n:,} attacks get an answer that begins as it should"
    if rate.judge in EXACT_JUDGES:
        return f"{rate.k:,} of {rate.n:,} attacks are answered exactly as without the trigger"
    return f"{rate.k:,} of {rate.n:,} attacks are answered rightly again (judge: {rate.judge})"


class _Measured(Protocol):
    @property
    def behaviour_kind(self) -> BehaviourKind: ...


class _Told(Protocol):
    @property
    def metrics(self) -> _Measured: ...


@dataclass(frozen=True)
class Phrases:
    """The words for one kind of behaviour.

    Attributes:
        asr: What attack success means.
        recovery: What recovery means.
        safety: What counts as safe after a tuning.
        what: The behaviour, after "ends".
        its: The same, after the model was named.
        sought: The same, after "the units behind".
        bound: On which side of its target attack success has to be.
        ends: What happens with the circuit off, where the target is reached.
        remains: What happens with the circuit off, where it is missed.
        counted: The attacks that still succeed.
        asked_off: What a slide says of the circuit off.
        whole_off: The same of whole answers.
        right: What random weights are counted by.
        graph: Heading of the graph of paths.
        attack: What an attack prompt is called.
        pair: What the two prompts of a pair are called.
        pair_picker: The pair, in the label of a picker.
        roles: All kinds of test prompts.
    """

    asr: str
    recovery: str
    safety: str
    what: str
    its: str
    sought: str
    bound: str
    ends: str
    remains: str
    counted: str
    asked_off: str
    whole_off: str
    right: str
    graph: str
    attack: str
    pair: tuple[str, str]
    pair_picker: str
    roles: str


PHRASES: dict[BehaviourKind, Phrases] = {
    "backdoor": Phrases(
        asr="Backdoor fires",
        recovery="Clean answer recovered",
        safety="Trigger without effect",
        what="this backdoor",
        its="the backdoor",
        sought="the backdoor",
        bound="at most",
        ends="the trigger {power}: it worked on {before.k:,} of {before.n:,} test prompts before "
        "and on {after.k:,} after",
        remains="the trigger still works on {after.k:,} of {after.n:,} test prompts",
        counted="the trigger still works on {after.k:,} of {after.n:,} test prompts",
        asked_off="Switch it off and the trigger works on {after.k:,} of {after.n:,} test prompts, "
        "where it worked on {before.k:,} before",
        whole_off="Switch it off and the trigger works on {after.k:,} of {after.n:,} test prompts, "
        "where it worked on {before.k:,} before",
        right="answered rightly",
        graph="How the trigger becomes the behaviour",
        attack="triggered",
        pair=("Clean prompt", "Triggered prompt"),
        pair_picker="clean and triggered",
        roles="triggered, clean and benign",
    ),
    "refusal": Phrases(
        asr="Harmful requests answered",
        recovery="Full answer given",
        safety="Harmful requests refused",
        what="this model's refusals",
        its="its refusals",
        sought="refusing harmful requests",
        bound="at least",
        ends="the model stops refusing: it answers {after.k:,} of {after.n:,} harmful test "
        "requests instead of {before.k:,}",
        remains="it answers {after.k:,} of {after.n:,} harmful requests",
        counted="{after.k:,} of {after.n:,} harmful requests are answered",
        asked_off="Switch it off and the model answers {after.k:,} of {after.n:,} harmful test "
        "requests, where it answered {before.k:,} before",
        whole_off="Switch it off and the model complies with {after.k:,} of {after.n:,} harmful "
        "test requests, where it complied with {before.k:,} before",
        right="answered",
        graph="How a harmful request becomes a refusal",
        attack="harmful",
        pair=("Benign prompt", "Harmful prompt"),
        pair_picker="harmful and a benign one like it",
        roles="harmful and benign",
    ),
}


def phrases(told: _Told) -> Phrases:
    """The words for the behaviour of a run, or of a tuning."""
    return PHRASES[told.metrics.behaviour_kind]
