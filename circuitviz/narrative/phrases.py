"""What is said of each kind of behaviour: one table of phrases.

Braces are filled by `str.format`: `before` and `after` are the attack success of the intact model
and with the circuit off, as `Rate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from circuitviz.behaviours.behaviour import BehaviourKind


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
