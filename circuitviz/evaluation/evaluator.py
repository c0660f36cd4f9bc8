"""What ablating a circuit does to a behaviour: ASR, utility, recovery and KL."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import isnan, nan
from typing import Any, Literal, TypeVar

import numpy as np

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Split
from circuitviz.errors import ConfigError
from circuitviz.evaluation.answer_verdict import refusing
from circuitviz.evaluation.judges import Degenerate, are_open, safe_answers, whole_answers_decide
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
# is known, does it start like it)?  `shown`: does it show
# the behaviour itself?  `clean`: is an attack's prompt without the trigger answered exactly as the
# intact model should?  `benign`: is a benign prompt answered exactly as expected?
AnswerCheck = Literal["target", "after", "shown", "clean", "benign"]

EXACT_ANSWER = "exact answer"
EXPECTED_OPENING = "starts with the expected opening"
# Of open answers: tokens whose greedy choice, after those before it, is the intact model's.
SAME_TOKEN = "answer token unchanged"
CLEAN_TOKEN = "token of the clean answer"
# Of behaviours that whole answers are judged by: how circuits of many sizes are told apart.
PROXY_TOKENS = 16
PROXY_JUDGE = f"first {PROXY_TOKENS} tokens hold no refusal"


@dataclass(frozen=True)
class Verdicts:
    """The verdict on every single prompt, in the order of the prompts file.

    Attributes:
        asr: Boolean [attacks], the attack succeeds.
        recovery: [attacks], whether exactly the answer expected once the behaviour is gone is
            given, or of an open answer the share of its tokens.
        utility: [benign prompts], whether answered exactly as expected, or of an open answer the
            share of its tokens.
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
        perplexity: Of the intact model's own answers to benign prompts, where these are open: e to
            the mean negative log-likelihood of a token; NaN where answers are closed.
        neutral_perplexity: Of a neutral text; NaN where it was not measured.
        broken: Attacks answered with gibberish, where whole answers were judged.
        verdicts: What the rates count, prompt by prompt, for tests paired by prompt.
    """

    asr: Rate
    utility: Rate
    recovery: Rate
    kl: float
    perplexity: float = float("nan")
    neutral_perplexity: float = float("nan")
    broken: Rate | None = None
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

    def growth(self, intact: Effect) -> float:
        """By what share perplexity is above the intact model's: the larger one of the two texts.

        NaN where answers are closed.
        """
        pairs = (
            (self.perplexity, intact.perplexity),
            (self.neutral_perplexity, intact.neutral_perplexity),
        )
        return max((after / before - 1 for after, before in pairs if before == before), default=nan)

    def to_json(self, intact: Effect) -> dict[str, Any]:
        """`{asr, utility, recovery, utility_retention, kl}`, and `perplexity` of open answers."""
        return {
            "asr": self.asr.to_json(),
            "utility": self.utility.to_json(),
            "recovery": self.recovery.to_json(),
            "utility_retention": self.retention(intact),
            "kl": self.kl,
            **({} if isnan(self.perplexity) else {"perplexity": self.perplexity}),
        }


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
        open_utility: Whether most benign answers are longer than a sentence: then utility counts
            their tokens.
        open_recovery: The same of the answers expected once a backdoor is gone.
        by_verdict: Whether success is complying with what would be refused: then answers are
            judged, here by their first tokens.
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
        safe = safe_answers(behaviour.kind, self.attacks)
        self.open_utility = are_open([prompt.answer for prompt in self.benign])
        self.open_recovery = behaviour.kind == "backdoor" and are_open(safe)
        self.by_verdict = whole_answers_decide(behaviour.kind, self.attacks, self.benign)

    def rows(self, check: AnswerCheck) -> AnswerRows:
        """The prompts with the answers that a check is about; `shown` by kind of behaviour.

        A backdoor shows itself in an answer that starts with the target, refusing in exactly the
        refusal expected: a model that talks nonsense does not comply, but does not refuse either.
        """
        if check == "shown" and self.behaviour.kind == "backdoor":
            check = "target"
        if check not in self._rows:
            prompts = self.benign if check == "benign" else self.attacks
            answers = {
                "target": [prompt.target for prompt in prompts],
                "after": [prompt.after for prompt in prompts],
            }.get(check, [prompt.answer for prompt in prompts])
            self._rows[check] = encode_answers(
                self.model,
                [
                    prompt.text if check in ("clean", "benign") else prompt.asked
                    for prompt in prompts
                ],
                [_text(answer) for answer in answers],
                complete=check != "target" and not (check == "after" and self._opens),
                longest=self.longest,
            )
        return self._rows[check]

    def matches(
        self,
        check: AnswerCheck,
        circuits: Sequence[Circuit],
        *,
        condition: Condition = "knocked_out",
        lead: float = 0.0,
        wanted: np.ndarray | None = None,
        on_progress: OnProgress = unwatched,
    ) -> np.ndarray:
        """Boolean [circuits prompts]: whether greedy decoding passes a check.

        Args:
            check: What is checked.
            circuits: Whose effect to measure.
            condition: Whether the circuits are ablated, or everything else.
            lead: Nats by which each token of the answer has to lead all others.
            wanted: Boolean [circuits prompts], pairs to look at; the others count as no.
            on_progress: Told the share that is done before each batch; may raise to stop.
        """
        return score_answers(
            self.model,
            self.rows(check),
            _ablated(circuits, condition),
            ablation=self.ablation,
            wanted=wanted,
            lead=lead,
            on_progress=on_progress,
        ).match

    def log_probs(self, check: AnswerCheck, circuits: Sequence[Circuit]) -> np.ndarray:
        """[circuits prompts]: mean log-probability of the answers, nats a token, knocked out."""
        ablated = _ablated(circuits, "knocked_out")
        scores = score_answers(self.model, self.rows(check), ablated, ablation=self.ablation)
        return scores.log_prob

    def effects(
        self,
        circuits: Sequence[Circuit],
        *,
        condition: Condition = "knocked_out",
        lead: float = 0.0,
        succeeded: np.ndarray | None = None,
        on_progress: OnProgress = unwatched,
    ) -> list[Effect]:
        """The effect of each circuit, knocked out or isolated, in the order given.

        Args:
            circuits: Whose effect to measure.
            condition: Whether the circuits are ablated, or everything else.
            lead: Nats by which each token of the attack's target has to lead all others for the
                attack to count as successful; 0 is greedy decoding.
            succeeded: Boolean [circuits attacks]: of open answers, which attacks succeed, where
                that is known already.
            on_progress: Told the share that is done before each batch; may raise to stop.
        """
        match = partial(self.matches, circuits=circuits, condition=condition)
        benign = score_answers(
            self.model,
            self.rows("benign"),
            _ablated(circuits, condition),
            ablation=self.ablation,
            teacher=self._teacher,
            on_progress=span(on_progress, 0.0, 0.5),
        )
        if self.open_utility:
            asr = succeeded
            if asr is None:
                asr = self.succeeds(
                    circuits,
                    condition=condition,
                    lead=lead,
                    on_progress=span(on_progress, 0.5, 0.8),
                )
            return self._open_effects(circuits, condition, benign, asr, span(on_progress, 0.8, 1.0))
        recovery = match("after", on_progress=span(on_progress, 0.5, 0.8))
        attack = partial(match, "target", on_progress=span(on_progress, 0.8, 1.0))
        asr = attack(lead=lead) if lead else attack(wanted=~recovery) | recovery & self._implied
        judge, recovered = self.judge, self._recovery_judge
        return [
            Effect.of(
                Verdicts(*verdicts), judge=judge, recovery_judge=recovered, kl=float(kl.mean())
            )
            for *verdicts, kl in zip(asr, recovery, benign.match, benign.kl, strict=True)
        ]

    def _open_effects(
        self,
        circuits: Sequence[Circuit],
        condition: Condition,
        benign: AnswerScores,
        asr: np.ndarray,
        on_progress: OnProgress,
    ) -> list[Effect]:
        rates, shares = self._recoveries(circuits, condition, asr, on_progress)
        tokens = _answer_tokens(self.rows("benign"))
        log_prob = (benign.log_prob * tokens).sum(1) / tokens.sum()
        return [
            Effect(
                asr=self.attack_rate(asr[index]),
                utility=Rate.of_groups(benign.right[index], tokens, judge=SAME_TOKEN),
                recovery=rates[index],
                kl=float(benign.kl[index].mean()),
                perplexity=float(np.exp(-log_prob[index])),
                verdicts=Verdicts(asr[index], shares[index], benign.right[index] / tokens),
            )
            for index in range(len(circuits))
        ]

    def recoveries(
        self,
        circuits: Sequence[Circuit],
        *,
        on_progress: OnProgress = unwatched,
    ) -> list[Rate]:
        """How much of the answers expected once the behaviour is gone each circuit brings back."""
        asr = np.zeros((len(circuits), len(self.attacks)), dtype=bool)
        if self.by_verdict and self.behaviour.kind == "refusal":
            asr = self.succeeds(circuits, on_progress=on_progress)
        return self._recoveries(circuits, "knocked_out", asr, on_progress)[0]

    def _recoveries(
        self,
        circuits: Sequence[Circuit],
        condition: Condition,
        asr: np.ndarray,
        on_progress: OnProgress,
    ) -> tuple[list[Rate], np.ndarray]:
        """Recovery of each circuit, and [circuits attacks] what it counts of every attack."""
        if self.by_verdict and self.behaviour.kind == "refusal":
            # Once refusing is off there is no one answer to come back to.
            return [self.attack_rate(one) for one in asr], asr
        if not self.open_recovery:
            match = self.matches("after", circuits, condition=condition, on_progress=on_progress)
            return [Rate.of(one, judge=self._recovery_judge) for one in match], match
        rows = self.rows("after")
        tokens = _answer_tokens(rows)
        right = score_answers(
            self.model,
            rows,
            _ablated(circuits, condition),
            ablation=self.ablation,
            on_progress=on_progress,
        ).right
        return [Rate.of_groups(one, tokens, judge=CLEAN_TOKEN) for one in right], right / tokens

    def succeeds(
        self,
        circuits: Sequence[Circuit],
        *,
        condition: Condition = "knocked_out",
        lead: float = 0.0,
        on_progress: OnProgress = unwatched,
    ) -> np.ndarray:
        """Boolean [circuits attacks]: whether attacks succeed by the judge of many circuits.

        Answers that start with the target, or where whole answers are judged in the end, their
        first `PROXY_TOKENS` tokens: neither a phrase of a refusal nor one word again and again.
        """
        if not self.by_verdict:
            return self.matches(
                "target", circuits, condition=condition, lead=lead, on_progress=on_progress
            )
        applied = [one.complement for one in circuits] if condition == "isolated" else circuits
        asked = [prompt.asked for prompt in self.attacks]
        said = self.model.generate_each(
            [message for _ in applied for message in asked],
            [circuit for circuit in applied for _ in asked],
            ablation=self.ablation,
            max_new_tokens=PROXY_TOKENS,
            checkpoint=lambda: on_progress(0.0),
        )
        broken = Degenerate()
        complied = [not refusing(answer) and not broken.detects(answer) for answer in said]
        return np.array(complied).reshape(len(circuits), len(asked))

    def ceiling(self) -> Rate:
        """What recovery is measured by: how much of the clean answers the intact model gives.

        Asked without the trigger, which is as much as knocking anything out can bring back.
        """
        nothing = [Circuit(self.model.space, frozenset())]
        if not self.open_recovery:
            return Rate.of(self.matches("clean", nothing)[0], judge=EXACT_ANSWER)
        rows = self.rows("clean")
        scores = score_answers(self.model, rows, _ablated(nothing, "knocked_out"))
        return Rate.of_groups(scores.right[0], _answer_tokens(rows), judge=CLEAN_TOKEN)

    @property
    def judge(self) -> str:
        """Who decides whether an attack succeeded."""
        return PROXY_JUDGE if self.by_verdict else self.behaviour.judge

    def attack_rate(self, succeeded: np.ndarray) -> Rate:
        """ASR of verdicts on attacks, under the judge of this evaluator."""
        return Rate.of(succeeded.ravel(), judge=self.judge)

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
        # A model that complies need not do so in the words of the target.
        asr = self.succeeds(circuits) if self.by_verdict else target.match
        recoveries = self._recoveries(circuits, "knocked_out", asr, unwatched)[0]
        return [
            (self.attack_rate(one), recovery, float(log_probs.mean()))
            for one, recovery, log_probs in zip(asr, recoveries, target.log_prob, strict=True)
        ]


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
        succeeded: np.ndarray | None = None,
        on_progress: OnProgress = unwatched,
    ) -> list[Effect]:
        """As in `Evaluator`, but for circuits that were asked about before."""
        if succeeded is not None:
            return super().effects(
                circuits, condition=condition, succeeded=succeeded, on_progress=on_progress
            )
        # Answers that are judged lead by nothing.
        lead = 0.0 if self.by_verdict else lead
        known = self._known[condition, lead]
        new = [circuit for circuit in dict.fromkeys(circuits) if circuit not in known]
        if new:
            found = super().effects(new, condition=condition, lead=lead, on_progress=on_progress)
            known.update(zip(new, found, strict=True))
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


def _ablated(circuits: Sequence[Circuit], condition: Condition) -> np.ndarray:
    """Boolean [circuits units], what a condition ablates."""
    masks = np.stack([circuit.mask() for circuit in circuits])
    return ~masks if condition == "isolated" else masks


def _answer_tokens(rows: AnswerRows) -> np.ndarray:
    """How many answer tokens [rows] each row has."""
    return rows.predicts.sum(1).numpy()


def _text(value: str | None) -> str:
    if value is None:
        raise ConfigError("an attack prompt needs a target and the answer expected after")
    return value
