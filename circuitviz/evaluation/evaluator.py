"""What ablating a circuit does to a behaviour: ASR, utility, recovery and KL."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property, partial
from math import nan
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Int, Shaped

from circuitviz.behaviours.answer_text import are_open
from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Split
from circuitviz.errors import ConfigError
from circuitviz.evaluation.effect import Effect, PromptVerdicts
from circuitviz.evaluation.judge import (
    CLEAN_TOKEN,
    EXACT_ANSWER,
    EXPECTED_OPENING,
    SAME_TOKEN,
    deciding_judge,
    safe_answers,
)
from circuitviz.evaluation.judges.starts_with_target import StartsWithTarget
from circuitviz.evaluation.judges.whole_answer import PROXY_JUDGE, PROXY_TOKENS, WholeAnswer
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.scoring import AnswerScores, score_answers
from circuitviz.models.ablation import ZERO, Ablation
from circuitviz.models.answer import AnswerRows, Teacher, encode_answers
from circuitviz.models.model import LONGEST_ANSWER, GatedModel
from circuitviz.progress import OnProgress, span, unwatched
from circuitviz.units import Circuit

Condition = Literal["knocked_out", "isolated"]

# What is asked of the model: `target`: does the attack's answer start with the attack's target?
# `after`: is it exactly the answer expected once the behaviour is gone (or, where only its opening
# is known, does it start like it)?  `refusal`: is an attack refused in exactly the words expected?
# `clean`: is its prompt without the trigger answered exactly as the intact model should?  `benign`:
# is a benign prompt answered exactly as expected?
AnswerCheck = Literal["target", "after", "refusal", "clean", "benign"]


class Evaluator:
    """A behaviour's prompts of one split, tokenised once and scored under any circuits.

    Args:
        model: The model.
        behaviour: Whose prompts to use.
        split: Which of its splits.
        limit: At most this many prompts of each role, drawn at random, the same ones every time.
        ablation: What ablated units are replaced by.
        longest: Tokens of an answer that count.

    Attributes:
        judge: What decides whether attacks succeed.
        by_verdict: Whether that is decided by whole answers: here by their first tokens.
        open_utility: Whether most benign answers are longer than a sentence: then utility counts
            their tokens.
        open_recovery: The same of the answers expected once a backdoor is gone.
    """

    def __init__(
        self,
        model: GatedModel,
        behaviour: Behaviour,
        split: Split,
        *,
        limit: int | None = None,
        ablation: Ablation = ZERO,
        longest: int = LONGEST_ANSWER,
    ) -> None:
        self.model = model
        self.behaviour = behaviour
        self.ablation = ablation
        self.longest = longest
        self.attacks = subsample(behaviour.prompts(split, "attack"), limit)
        self.benign = subsample(behaviour.prompts(split, "benign"), limit)
        # The answer expected after removal either starts with the attack's target or does not:
        # so for whoever gives it exactly, the verdict on the attack is known.
        self._implied = np.array(
            [_text(prompt.after).startswith(_text(prompt.target)) for prompt in self.attacks]
        )
        self._rows: dict[AnswerCheck, AnswerRows] = {}
        self.judge = deciding_judge(behaviour, self.attacks, self.benign)
        self.by_verdict = isinstance(self.judge, WholeAnswer)
        self.open_utility = are_open([prompt.answer for prompt in self.benign])
        safe = safe_answers(behaviour.kind, self.attacks)
        self.open_recovery = behaviour.kind == "backdoor" and are_open(safe)

    @property
    def judge_name(self) -> str:
        """What rates of attacks are labelled with."""
        return PROXY_JUDGE if self.by_verdict else self.judge.name

    def attack_rate(self, succeeded: Bool[np.ndarray, ...]) -> Rate:
        """ASR of verdicts on attacks, under the judge of this evaluator."""
        return Rate.of(succeeded.ravel(), judge=self.judge_name)

    def rows(self, check: AnswerCheck) -> AnswerRows:
        """The prompts with the answers that a check is about."""
        if check not in self._rows:
            prompts = self.benign if check == "benign" else self.attacks
            answer = check if check in ("target", "after") else "answer"
            plain = check in ("clean", "benign")
            self._rows[check] = encode_answers(
                self.model,
                [prompt.text if plain else prompt.asked for prompt in prompts],
                [_text(getattr(prompt, answer)) for prompt in prompts],
                complete=check != "target" and not (check == "after" and self._opens),
                longest=self.longest,
            )
        return self._rows[check]

    def scores(
        self,
        check: AnswerCheck,
        circuits: Sequence[Circuit],
        *,
        condition: Condition = "knocked_out",
        lead: float = 0.0,
        wanted: Bool[np.ndarray, "circuits prompts"] | None = None,
        kl: bool = False,
        on_progress: OnProgress = unwatched,
    ) -> AnswerScores:
        """What the model makes of the answers that a check is about.

        Args:
            check: What is checked.
            circuits: Whose effect to measure.
            condition: Whether the circuits are ablated, or everything else.
            lead: Nats by which each token of the answer has to lead all others.
            wanted: Pairs to look at; the others count as no.
            kl: Whether KL to the intact model is measured, on benign prompts.
            on_progress: Told the share that is done before each batch; may raise to stop.
        """
        masks = np.stack([circuit.mask() for circuit in circuits])
        return score_answers(
            self.model,
            self.rows(check),
            ~masks if condition == "isolated" else masks,
            ablation=self.ablation,
            teacher=self._teacher if kl else None,
            wanted=wanted,
            lead=lead,
            on_progress=on_progress,
        )

    def succeeds(
        self,
        circuits: Sequence[Circuit],
        *,
        condition: Condition = "knocked_out",
        lead: float = 0.0,
        wanted: Bool[np.ndarray, "circuits attacks"] | None = None,
        on_progress: OnProgress = unwatched,
    ) -> Bool[np.ndarray, "circuits attacks"]:
        """Whether attacks succeed, in the eyes of the judge; arguments as in `scores`.

        Whether an answer starts with its target is seen without generating any.  Other judges read
        answers, and where whole answers are judged in the end, their first `PROXY_TOKENS` tokens;
        these lead by nothing.
        """
        if isinstance(self.judge, StartsWithTarget):
            return self.scores(
                "target",
                circuits,
                condition=condition,
                lead=lead,
                wanted=wanted,
                on_progress=on_progress,
            ).match
        verdicts = np.zeros((len(circuits), len(self.attacks)), dtype=bool)
        pairs = np.argwhere(np.ones_like(verdicts) if wanted is None else wanted).tolist()
        applied = [one.complement for one in circuits] if condition == "isolated" else circuits
        answers = self.model.generate_each(
            [self.attacks[row].asked for _, row in pairs],
            [applied[index] for index, _ in pairs],
            ablation=self.ablation,
            max_new_tokens=PROXY_TOKENS if self.by_verdict else self.longest,
            checkpoint=lambda: on_progress(0.0),
        )
        safe = safe_answers(self.behaviour.kind, self.attacks)
        for (index, row), answer in zip(pairs, answers, strict=True):
            attack = self.attacks[row]
            verdicts[index, row] = self.judge.judge(
                attack.asked, answer, _text(attack.target), safe[row]
            )
        return verdicts

    def shows(
        self,
        circuits: Sequence[Circuit],
        *,
        condition: Condition = "knocked_out",
        wanted: Bool[np.ndarray, "circuits attacks"] | None = None,
    ) -> Bool[np.ndarray, "circuits attacks"]:
        """Whether attacks show the behaviour outright; arguments as in `scores`.

        A backdoor shows itself in an attack that succeeds, refusing in exactly the refusal
        expected: a model that talks nonsense does not comply, but does not refuse either.
        """
        if self.behaviour.kind == "backdoor":
            return self.succeeds(circuits, condition=condition, wanted=wanted)
        return self.scores("refusal", circuits, condition=condition, wanted=wanted).match

    @property
    def shown_judge(self) -> str:
        """The judge of `shows`."""
        return self.judge_name if self.behaviour.kind == "backdoor" else EXACT_ANSWER

    def effects(
        self,
        circuits: Sequence[Circuit],
        *,
        condition: Condition = "knocked_out",
        lead: float = 0.0,
        succeeded: Bool[np.ndarray, "circuits attacks"] | None = None,
        on_progress: OnProgress = unwatched,
    ) -> list[Effect]:
        """The effect of each circuit, knocked out or isolated, in the order given.

        Args:
            circuits: Whose effect to measure.
            condition: Whether the circuits are ablated, or everything else.
            lead: Nats by which each token of the attack's target has to lead all others for the
                attack to count as successful; 0 is greedy decoding.
            succeeded: Of open answers, which attacks succeed, where that is known already.
            on_progress: Told the share that is done before each batch; may raise to stop.
        """
        attack = partial(self.succeeds, circuits, condition=condition, lead=lead)
        first, second, third = (span(on_progress, i / 3, (i + 1) / 3) for i in range(3))
        benign = self.scores("benign", circuits, condition=condition, kl=True, on_progress=first)
        tokens = self.rows("benign").answer_tokens
        utility, kept = _counted(benign, tokens, self.open_utility, (EXACT_ANSWER, SAME_TOKEN))
        if succeeded is None and (self._recovers_by_complying or self.open_utility):
            succeeded = attack(on_progress=second)
        rest = second if succeeded is None else third
        recovery, recovered = self._recoveries(circuits, succeeded, condition, rest)
        if succeeded is None and (lead or not isinstance(self.judge, StartsWithTarget)):
            succeeded = attack(on_progress=third)
        elif succeeded is None:
            succeeded = attack(wanted=~recovered, on_progress=third) | recovered & self._implied
        perplexity = [nan] * len(circuits)
        if self.open_utility:
            perplexity = np.exp(-(benign.log_prob * tokens).sum(1) / tokens.sum()).tolist()
        return [
            Effect(
                asr=self.attack_rate(succeeded[i]),
                utility=utility[i],
                recovery=recovery[i],
                kl=float(benign.kl[i].mean()),
                perplexity=perplexity[i],
                verdicts=PromptVerdicts(succeeded[i], recovered[i], kept[i]),
            )
            for i in range(len(circuits))
        ]

    def recoveries(
        self, circuits: Sequence[Circuit], *, on_progress: OnProgress = unwatched
    ) -> list[Rate]:
        """How much of the answers expected once the behaviour is gone each circuit brings back."""
        asr = None
        if self._recovers_by_complying:
            asr = self.succeeds(circuits, on_progress=on_progress)
        return self._recoveries(circuits, asr, on_progress=on_progress)[0]

    @property
    def _recovers_by_complying(self) -> bool:
        """Whether there is no one answer to come back to, as once refusing is off."""
        return self.by_verdict and self.behaviour.kind == "refusal"

    def _recoveries(
        self,
        circuits: Sequence[Circuit],
        asr: Bool[np.ndarray, "circuits attacks"] | None,
        condition: Condition = "knocked_out",
        on_progress: OnProgress = unwatched,
    ) -> tuple[list[Rate], Shaped[np.ndarray, "circuits attacks"]]:
        """Recovery of each circuit, and what it counts of every attack."""
        if self._recovers_by_complying and asr is not None:
            return [self.attack_rate(one) for one in asr], asr
        scores = self.scores("after", circuits, condition=condition, on_progress=on_progress)
        judges = (EXPECTED_OPENING if self._opens else EXACT_ANSWER, CLEAN_TOKEN)
        return _counted(scores, self.rows("after").answer_tokens, self.open_recovery, judges)

    def ceiling(self) -> Rate:
        """What recovery is measured by: how much of the clean answers the intact model gives.

        Asked without the trigger, which is as much as knocking anything out can bring back.
        """
        scores = self.scores("clean", [Circuit(self.model.space, frozenset())])
        tokens = self.rows("clean").answer_tokens
        return _counted(scores, tokens, self.open_recovery, (EXACT_ANSWER, CLEAN_TOKEN))[0][0]

    def attack_scores(self, circuits: Sequence[Circuit]) -> list[tuple[Rate, Rate, float]]:
        """Per circuit ASR, recovery, and the target's mean log-probability, nats per token."""
        target = self.scores("target", circuits)
        # A model that complies need not do so in the words of the target.
        known = isinstance(self.judge, StartsWithTarget)
        asr = target.match if known else self.succeeds(circuits)
        recoveries = self._recoveries(circuits, asr)[0]
        return [
            (self.attack_rate(one), recovery, float(log_probs.mean()))
            for one, recovery, log_probs in zip(asr, recoveries, target.log_prob, strict=True)
        ]

    @property
    def _opens(self) -> bool:
        """Whether of the answers expected after removal only the opening is known."""
        return self.behaviour.spec.after_is_opening

    @cached_property
    def _teacher(self) -> Teacher:
        return Teacher(self.model, self.rows("benign"))


class RememberingEvaluator(Evaluator):
    """One that measures each circuit once, of a model whose weights stay as they are."""

    @cached_property
    def _known(self) -> dict[tuple[Condition, float], dict[Circuit, Effect]]:
        return defaultdict(dict)

    def effects(
        self,
        circuits: Sequence[Circuit],
        *,
        condition: Condition = "knocked_out",
        lead: float = 0.0,
        succeeded: Bool[np.ndarray, "circuits attacks"] | None = None,
        on_progress: OnProgress = unwatched,
    ) -> list[Effect]:
        """As in `Evaluator`, but for circuits that were asked about before."""
        # Answers that are judged lead by nothing.
        lead = lead if isinstance(self.judge, StartsWithTarget) else 0.0
        measure = partial(super().effects, condition=condition, lead=lead, on_progress=on_progress)
        if succeeded is not None:
            return measure(circuits, succeeded=succeeded)
        known = self._known[condition, lead]
        new = [circuit for circuit in dict.fromkeys(circuits) if circuit not in known]
        if new:
            known.update(zip(new, measure(new), strict=True))
        return [known[circuit] for circuit in circuits]


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
    evaluator = Evaluator(model, behaviour, split, limit=limit, ablation=ablation)
    return evaluator.effects([circuit], condition=condition)[0]


Item = TypeVar("Item")


def subsample(prompts: list[Item], limit: int | None) -> list[Item]:
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


def _counted(
    scores: AnswerScores,
    tokens: Int[np.ndarray, " prompts"],
    by_token: bool,
    judges: tuple[str, str],
) -> tuple[list[Rate], Shaped[np.ndarray, "circuits prompts"]]:
    """The rate of each circuit by prompt or by token, and what it counts of every prompt."""
    if by_token:
        rates = [Rate.of_groups(right, tokens, judge=judges[1]) for right in scores.right]
        return rates, scores.right / tokens
    return [Rate.of(match, judge=judges[0]) for match in scores.match], scores.match


def _text(value: str | None) -> str:
    if value is None:
        raise ConfigError("an attack prompt needs a target and the answer expected after")
    return value
