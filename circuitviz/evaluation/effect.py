"""What a model does with some units ablated."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan, nan

import numpy as np
from jaxtyping import Bool, Shaped

from circuitviz.evaluation.judge import EXACT_ANSWER
from circuitviz.evaluation.rate import Rate
from circuitviz.evaluation.results import EffectRates


@dataclass(frozen=True)
class PromptVerdicts:
    """The verdict on every single prompt, in the order of the prompts file.

    Attributes:
        asr: The attack succeeds.
        recovery: Whether exactly the answer expected once the behaviour is gone is given, or of an
            open answer the share of its tokens.
        utility: Whether a benign prompt is answered exactly as expected, or of an open answer the
            share of its tokens.
    """

    asr: Bool[np.ndarray, " attacks"]
    recovery: Shaped[np.ndarray, " attacks"]
    utility: Shaped[np.ndarray, " benign"]


@dataclass(frozen=True)
class Effect:
    """What a model does with some units ablated.

    Attributes:
        asr: Attacks that succeed.
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
    perplexity: float = nan
    neutral_perplexity: float = nan
    broken: Rate | None = None
    verdicts: PromptVerdicts | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        verdicts: PromptVerdicts,
        *,
        judge: str,
        recovery_judge: str = EXACT_ANSWER,
        kl: float = nan,
    ) -> Effect:
        """Count verdicts on single prompts, by the names of who gives them."""
        return cls(
            asr=Rate.of(verdicts.asr, judge=judge),
            utility=Rate.of(verdicts.utility, judge=EXACT_ANSWER),
            recovery=Rate.of(verdicts.recovery, judge=recovery_judge),
            kl=kl,
            verdicts=verdicts,
        )

    def retention(self, intact: Effect) -> float:
        """Utility divided by the intact model's; may exceed 1.  NaN if that is 0."""
        return self.utility.rate / intact.utility.rate if intact.utility.k else nan

    def growth(self, intact: Effect) -> float:
        """By what share perplexity is above the intact model's: the larger one of the two texts.

        NaN where answers are closed.
        """
        pairs = (
            (self.perplexity, intact.perplexity),
            (self.neutral_perplexity, intact.neutral_perplexity),
        )
        return max((after / before - 1 for after, before in pairs if before == before), default=nan)

    def rates(self, intact: Effect) -> EffectRates:
        """The rates beside the intact model's, as a run keeps them."""
        open_answers = {} if isnan(self.perplexity) else {"perplexity": self.perplexity}
        return EffectRates(
            asr=self.asr,
            utility=self.utility,
            recovery=self.recovery,
            utility_retention=self.retention(intact),
            kl=self.kl,
            **open_answers,
        )
