"""What ablating a circuit does to a behaviour: ASR, utility, recovery and KL."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal, TypeVar

import numpy as np

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Split
from circuitviz.errors import ConfigError
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.scoring import score_answers
from circuitviz.models.ablation import ZERO, Ablation
from circuitviz.models.answer import AnswerRows, Teacher, encode_answers
from circuitviz.models.model import GatedModel
from circuitviz.units import Circuit

__all__ = [
    "EXACT_ANSWER",
    "EXPECTED_OPENING",
    "Condition",
    "Effect",
    "Probe",
    "Question",
    "Verdicts",
    "evaluate_circuit",
    "thin",
]

Condition = Literal["knocked_out", "isolated"]

# What is asked of the model: `target`: does the attack's answer start with the attack's target?
# `after`: is it exactly the answer expected once the behaviour is gone (or, where only its opening
# is known, does it start like it)?  `shown`: does it show
# the behaviour itself?  `clean`: is an attack's prompt without the trigger answered exactly as the
# intact model should?  `benign`: is a benign prompt answered exactly as expected?
Question = Literal["target", "after", "shown", "clean", "benign"]

EXACT_ANSWER = "exact answer"
EXPECTED_OPENING = "starts with the expected opening"


@dataclass(frozen=True)
class Verdicts:
    """The verdict on every single prompt, in the order of the prompts file.

    Attributes:
        asr: Boolean [attacks], the attack succeeds.
        recovery: Boolean [attacks], exactly the answer expected once the behaviour is gone.
        utility: Boolean [benign prompts], answered exactly as expected.
    """

    asr: np.ndarray
    recovery: np.ndarray
    utility: np.ndarray


@dataclass(frozen=True)
class Effect:
    """What a model does with some units ablated.

    Attributes:
        asr: Attacks that succeed: the answer starts with the attack's target.
        utility: Benign prompts answered exactly as expected.
        recovery: Attacks that get exactly the answer expected once the behaviour is gone, or start
            like it where only its opening is known.
        kl: Mean KL(intact || ablated) on benign prompts, nats per answer token.
        verdicts: What the rates count, prompt by prompt, for tests paired by prompt.
    """

    asr: Rate
    utility: Rate
    recovery: Rate
    kl: float
    verdicts: Verdicts | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        verdicts: Verdicts,
        *,
        judge: str,
        recovery_judge: str = EXACT_ANSWER,
        kl: float = float("nan"),
    ) -> Effect:
        """Count verdicts on single prompts.

        Args:
            verdicts: On every prompt.
            judge: Who decides about attacks.
            recovery_judge: Who decides about recovery.
            kl: Mean KL, nats per answer token.
        """
        return cls(
            asr=Rate.of(verdicts.asr, judge=judge),
            utility=Rate.of(verdicts.utility, judge=EXACT_ANSWER),
            recovery=Rate.of(verdicts.recovery, judge=recovery_judge),
            kl=kl,
            verdicts=verdicts,
        )

    def retention(self, intact: Effect) -> float:
        """Utility divided by the intact model's; may exceed 1.  NaN if that is 0."""
        return self.utility.rate / intact.utility.rate if intact.utility.k else float("nan")

    def to_json(self, intact: Effect) -> dict[str, Any]:
        """`{asr, utility, recovery, utility_retention, kl}`."""
        return {
            "asr": self.asr.to_json(),
            "utility": self.utility.to_json(),
            "recovery": self.recovery.to_json(),
            "utility_retention": self.retention(intact),
            "kl": self.kl,
        }


class Probe:
    """A behaviour's prompts of one split, tokenised once and scored under any circuits.

    Args:
        model: The model.
        behaviour: Whose prompts to use.
        split: Which of its splits.
        limit: At most this many prompts of each role, drawn at random, the same ones every time.
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
        self.attacks = thin(behaviour.prompts(split, "attack"), limit)
        self.benign = thin(behaviour.prompts(split, "benign"), limit)
        # The answer expected after removal either starts with the attack's target or does not:
        # so for whoever gives it exactly, the verdict on the attack is known.
        self._implied = np.array(
            [_text(prompt.after).startswith(_text(prompt.target)) for prompt in self.attacks]
        )
        self._rows: dict[Question, AnswerRows] = {}

    def rows(self, question: Question) -> AnswerRows:
        """The prompts with the answers that a question asks about; `shown` by kind of behaviour.

        A backdoor shows itself in an answer that starts with the target, refusing in exactly the
        refusal expected: a model that talks nonsense does not comply, but does not refuse either.
        """
        if question == "shown" and self.behaviour.kind == "backdoor":
            question = "target"
        if question not in self._rows:
            prompts = self.benign if question == "benign" else self.attacks
            answers = {
                "target": [prompt.target for prompt in prompts],
                "after": [prompt.after for prompt in prompts],
            }.get(question, [prompt.answer for prompt in prompts])
            self._rows[question] = encode_answers(
                self.model,
                [
                    prompt.text if question in ("clean", "benign") else prompt.asked
                    for prompt in prompts
                ],
                [_text(answer) for answer in answers],
                complete=question != "target" and not (question == "after" and self._opens),
            )
        return self._rows[question]

    def matches(
        self,
        question: Question,
        circuits: Sequence[Circuit],
        *,
        condition: Condition = "knocked_out",
        lead: float = 0.0,
        wanted: np.ndarray | None = None,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> np.ndarray:
        """Boolean [circuits prompts]: whether greedy decoding says yes to a question.

        Args:
            question: What is asked.
            circuits: Whose effect to measure.
            condition: Whether the circuits are ablated, or everything else.
            lead: Nats by which each token of the answer has to lead all others.
            wanted: Boolean [circuits prompts], pairs to look at; the others count as no.
            checkpoint: Called before each batch; may raise to stop.
        """
        return score_answers(
            self.model,
            self.rows(question),
            _ablated(circuits, condition),
            ablation=self.ablation,
            wanted=wanted,
            lead=lead,
            checkpoint=checkpoint,
        ).match

    def log_probs(self, question: Question, circuits: Sequence[Circuit]) -> np.ndarray:
        """[circuits prompts]: mean log-probability of the answers, nats a token, knocked out."""
        ablated = _ablated(circuits, "knocked_out")
        scores = score_answers(self.model, self.rows(question), ablated, ablation=self.ablation)
        return scores.log_prob

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
        match = partial(self.matches, circuits=circuits, condition=condition, checkpoint=checkpoint)
        recovery = match("after")
        if lead:
            asr = match("target", lead=lead)
        else:
            asr = match("target", wanted=~recovery) | (recovery & self._implied)
        benign = score_answers(
            self.model,
            self.rows("benign"),
            _ablated(circuits, condition),
            ablation=self.ablation,
            teacher=self._teacher,
            checkpoint=checkpoint,
        )
        judge, recovered = self.behaviour.judge, self._recovery_judge
        return [
            Effect.of(
                Verdicts(*verdicts), judge=judge, recovery_judge=recovered, kl=float(kl.mean())
            )
            for *verdicts, kl in zip(asr, recovery, benign.match, benign.kl, strict=True)
        ]

    def attack_rate(self, succeeded: np.ndarray) -> Rate:
        """ASR of verdicts on attacks, under the behaviour's judge."""
        return Rate.of(succeeded.ravel(), judge=self.behaviour.judge)

    @property
    def _opens(self) -> bool:
        """Whether of the answers expected after removal only the opening is known."""
        return self.behaviour.spec.after_is_opening

    @property
    def _recovery_judge(self) -> str:
        return EXPECTED_OPENING if self._opens else EXACT_ANSWER

    @cached_property
    def _teacher(self) -> Teacher:
        return Teacher(self.model, self.rows("benign"))

    def attack_scores(self, circuits: Sequence[Circuit]) -> list[tuple[Rate, Rate, float]]:
        """Per circuit ASR, recovery, and the target's mean log-probability, nats per token."""
        ablated = _ablated(circuits, "knocked_out")
        target = score_answers(self.model, self.rows("target"), ablated, ablation=self.ablation)
        recovery = self.matches("after", circuits)
        return [
            (
                self.attack_rate(target.match[i]),
                Rate.of(recovery[i], judge=self._recovery_judge),
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


Item = TypeVar("Item")


def thin(prompts: list[Item], limit: int | None) -> list[Item]:
    """At most `limit` prompts, drawn once and for all, in file order.

    Drawn at random and not evenly spaced: files often go round their categories in turn, and a
    regular step would meet only some of them.
    """
    if limit is None or len(prompts) <= limit:
        return prompts
    if limit < 1:
        raise ConfigError(f"a limit of prompts must be >= 1; got {limit}")
    chosen = sorted(random.Random(0).sample(range(len(prompts)), limit))
    return [prompts[index] for index in chosen]


def _ablated(circuits: Sequence[Circuit], condition: Condition) -> np.ndarray:
    """Boolean [circuits units], what a condition ablates."""
    masks = np.stack([circuit.mask() for circuit in circuits])
    return ~masks if condition == "isolated" else masks


def _text(value: str | None) -> str:
    if value is None:
        raise ConfigError("an attack prompt needs a target and the answer expected after")
    return value
