"""What is known about the paths among a circuit's units; `path_effect` measures it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuitviz.units import Unit

__all__ = ["MOST_UNITS", "REQUEST", "TRIGGER", "PathGraph"]

# Pairs grow with the square, and a picture of more cannot be read.
MOST_UNITS = 24
# Names of senders that stand for several tokens; no token is called so.
REQUEST, TRIGGER = "the request", "the trigger"


@dataclass(frozen=True)
class PathGraph:
    """Effects along every edge, in nats of log-odds, means over prompts.

    Attributes:
        units: The circuit's units by layer, heads before neurons.
        words: What sets the behaviour off: the trigger's tokens, or `REQUEST`.
        from_words: [words units].
        bypass: [words], what reaches the answer by no unit of the circuit.
        between: [units units], from row to column.
        to_answer: [units].
        total: [units], with only this unit ablated and nothing held.
        all_words: With all words blanked at once and nothing held.
        intact: M of the intact model.
        knocked_out: M with the whole circuit ablated.
        prompts: How many prompts the means are of.
        ablation: What ablated units are replaced by.
        trigger: The trigger in full; empty where there is none, or it differs between prompts.
        target: The behaviour's token and the one expected without it; empty where prompts differ.
    """

    units: tuple[Unit, ...]
    words: tuple[str, ...]
    from_words: np.ndarray
    bypass: np.ndarray
    between: np.ndarray
    to_answer: np.ndarray
    total: np.ndarray
    all_words: float
    intact: float
    knocked_out: float
    prompts: int
    ablation: str
    trigger: str
    target: tuple[str, str]
