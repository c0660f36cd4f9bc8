"""What is known about the paths among a circuit's units; `path_effect` measures it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuitviz.units import Unit

# Pairs grow with the square, and a picture of more cannot be read.
MAX_UNITS = 24
# Names of senders that stand for several tokens; no token is called so.
REQUEST, TRIGGER = "the request", "the trigger"
# An effect larger than so many standard errors is one.
ERRORS = 2.0


@dataclass(frozen=True)
class Sampled:
    """Effects measured on several prompts.

    Attributes:
        values: [prompts ...].
    """

    values: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """[...], over prompts."""
        return self.values.mean(0)

    @property
    def error(self) -> np.ndarray:
        """[...], the standard error of the mean; NaN where there is one prompt."""
        if len(self.values) < 2:
            return np.full(self.values.shape[1:], np.nan)
        return self.values.std(0, ddof=1) / np.sqrt(len(self.values))

    @property
    def sure(self) -> np.ndarray:
        """Boolean [...], means that are more than two standard errors away from 0."""
        return np.abs(self.mean) > ERRORS * self.error

    def summed(self) -> Sampled:
        """With the first axis after the prompts added up, prompt by prompt."""
        return Sampled(self.values.sum(1))


@dataclass(frozen=True)
class PathGraph:
    """Effects along every edge, in nats of log-odds, on each prompt.

    Attributes:
        units: The circuit's units by layer, heads before neurons.
        words: What sets the behaviour off: the trigger's tokens, or `REQUEST`.
        from_words: [words units].
        bypass: [words], what reaches the answer by no unit of the circuit.
        between: [units units], from row to column.
        to_answer: [units].
        total: [units], with only this unit ablated and nothing held.
        all_words: With all words blanked at once and nothing held.
        intact: M of the intact model, mean over prompts.
        knocked_out: M with the whole circuit ablated, mean over prompts.
        prompts: How many prompts were used: those on which the behaviour shows.
        tried: How many were tried.
        ablation: What ablated units are replaced by.
        trigger: The trigger in full; empty where there is none, or it differs between prompts.
        target: The behaviour's token and the one expected without it; empty where prompts differ.
    """

    units: tuple[Unit, ...]
    words: tuple[str, ...]
    from_words: Sampled
    bypass: Sampled
    between: Sampled
    to_answer: Sampled
    total: Sampled
    all_words: Sampled
    intact: float
    knocked_out: float
    prompts: int
    tried: int
    ablation: str
    trigger: str
    target: tuple[str, str]
