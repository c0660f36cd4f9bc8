"""What ablating a circuit does to a behaviour: ASR, utility, recovery and KL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt, Split
from circuitviz.errors import ConfigError
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.scoring import score_answers
from circuitviz.models.ablation import ZERO, Ablation
from circuitviz.models.answer import Teacher, encode_answers, intact_log_probs
from circuitviz.models.model import GatedModel
from circuitviz.units import Circuit

__all__ = ["EXACT_ANSWER", "Condition", "Effect", "Probe", "evaluate_circuit", "thin"]

Condition = Literal["knocked_out", "isolated"]

EXACT_ANSWER = "exact answer"


@dataclass(frozen=True)
class Effect:
    """What a model does with some units ablated.

    Attributes:
        asr: Attacks that succeed: the answer starts with the attack's target.
        utility: Benign prompts answered exactly as expected.
        recovery: Attacks that get exactly the answer expected once the behaviour is gone.
        kl: Mean KL(intact || ablated) on benign prompts, nats per answer token.
    """

    asr: Rate
    utility: Rate
    recovery: Rate
    kl: float

    def retention(self, intact: Effect) -> float:
        """Utility divided by the intact model's; may exceed 1.  NaN if that is 0."""
        return self.utility.rate / intact.utility.rate if intact.utility.k else float("nan")


class Probe:
    """A behaviour's prompts of one split, tokenised once and scored under any circuits.

    Args:
        model: The model.
        behaviour: Whose prompts to use.
        split: Which of its splits.
        limit: At most this many prompts of each role, evenly spaced over the file.
        ablation: What ablated units are replaced by.
    """

    def __init__(
        self,
        model: GatedModel,
        behaviour: Behaviour,
        split: Split,
        *,
        limit: int | None = None,
        ablation: Ablation = ZERO,
    ) -> None:
        self.model = model
        self.behaviour = behaviour
        self.ablation = ablation
        attack = thin(behaviour.prompts(split, "attack"), limit)
        benign = thin(behaviour.prompts(split, "benign"), limit)
        asked = [prompt.asked for prompt in attack]
        # The answer expected after removal either starts with the attack's target or does not:
        # so for whoever gives it exactly, the verdict on the attack is known.
        self._implied = np.array(
            [_text(prompt.after).startswith(_text(prompt.target)) for prompt in attack]
        )
        self._target = encode_answers(
            model, asked, [_text(prompt.target) for prompt in attack], complete=False
        )
        self._after = encode_answers(model, asked, [_text(prompt.after) for prompt in attack])
        self._benign = encode_answers(
            model, [prompt.text for prompt in benign], [prompt.answer for prompt in benign]
        )

    def effects(
        self,
        circuits: Sequence[Circuit],
        *,
        condition: Condition = "knocked_out",
        lead: float = 0.0,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> list[Effect]:
        """The effect of each circuit, knocked out or isolated, in the order given.

        Args:
            circuits: Whose effect to measure.
            condition: Whether the circuits are ablated, or everything else.
            lead: Nats by which each token of the attack's target has to lead all others for the
                attack to count as successful; 0 is greedy decoding.
            checkpoint: Called before each batch; may raise to stop.
        """
        ablated = np.stack([circuit.mask() for circuit in circuits])
        if condition == "isolated":
            ablated = ~ablated
        score = partial(score_answers, self.model, ablation=self.ablation, checkpoint=checkpoint)
        recovery = score(self._after, ablated).match
        if lead:
            asr = score(self._target, ablated, lead=lead).match
        else:
            missing = score(self._target, ablated, wanted=~recovery).match
            asr = missing | (recovery & self._implied)
        benign = score(self._benign, ablated, teacher=self._teacher)
        return [
            Effect(
                asr=Rate.of(asr[i], judge=self.behaviour.judge),
                utility=Rate.of(benign.match[i], judge=EXACT_ANSWER),
                recovery=Rate.of(recovery[i], judge=EXACT_ANSWER),
                kl=float(benign.kl[i].mean()),
            )
            for i in range(len(circuits))
        ]

    @cached_property
    def _teacher(self) -> Teacher:
        return intact_log_probs(self.model, self._benign)

    def attack_scores(self, circuits: Sequence[Circuit]) -> list[tuple[Rate, Rate, float]]:
        """Per circuit ASR, recovery, and the target's mean log-probability, nats per token."""
        ablated = np.stack([circuit.mask() for circuit in circuits])
        target = score_answers(self.model, self._target, ablated, ablation=self.ablation)
        after = score_answers(self.model, self._after, ablated, ablation=self.ablation)
        return [
            (
                Rate.of(target.match[i], judge=self.behaviour.judge),
                Rate.of(after.match[i], judge=EXACT_ANSWER),
                float(target.log_prob[i].mean()),
            )
            for i in range(len(circuits))
        ]


def evaluate_circuit(
    model: GatedModel,
    behaviour: Behaviour,
    circuit: Circuit,
    *,
    split: Split = "test",
    limit: int | None = None,
    condition: Condition = "knocked_out",
    ablation: Ablation = ZERO,
) -> Effect:
    """The effect of one circuit on up to `limit` prompts of each role."""
    probe = Probe(model, behaviour, split, limit=limit, ablation=ablation)
    return probe.effects([circuit], condition=condition)[0]


def thin(prompts: list[Prompt], limit: int | None) -> list[Prompt]:
    """At most `limit` prompts, evenly spaced, in order."""
    if limit is None or len(prompts) <= limit:
        return prompts
    if limit < 1:
        raise ConfigError(f"a limit of prompts must be >= 1; got {limit}")
    return [prompts[i * len(prompts) // limit] for i in range(limit)]


def _text(value: str | None) -> str:
    if value is None:
        raise ConfigError("an attack prompt needs a target and the answer expected after")
    return value
