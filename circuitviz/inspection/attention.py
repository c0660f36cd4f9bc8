"""Where one head looks, on a clean and on a triggered prompt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from circuitviz.errors import ConfigError, UnsupportedModelError
from circuitviz.inspection.prompt_pair import PromptPair
from circuitviz.models.gates import recorded
from circuitviz.models.model import GatedModel
from circuitviz.units import Unit


@dataclass(frozen=True)
class HeadAttention:
    """Attention of one head; rows look, columns are looked at, and each row sums to 1.

    Attributes:
        clean: [pos pos].
        triggered: [pos pos].
    """

    clean: np.ndarray
    triggered: np.ndarray


def look_at_attention(model: GatedModel, pair: PromptPair, unit: Unit) -> HeadAttention:
    """The patterns of one head on both prompts of a pair.

    Raises:
        ConfigError: The unit is no head.
        UnsupportedModelError: The model shows no attention patterns.
    """
    clean, triggered = (
        measure_attention(model, row.tokens, unit) for row in (pair.clean, pair.triggered)
    )
    return HeadAttention(clean, triggered)


@torch.no_grad()
def measure_attention(model: GatedModel, tokens: tuple[int, ...], unit: Unit) -> np.ndarray:
    """The pattern [pos pos] of a head over one row of tokens."""
    if unit.kind != "head":
        raise ConfigError(f"only heads attend; got the neuron {unit}")
    seen: list[np.ndarray] = []

    def keep(kind: str, layer: int, activation: torch.Tensor) -> None:
        if layer == unit.layer:
            seen.append(activation[0, unit.index].float().cpu().numpy())

    with recorded(keep, ("pattern",)):
        model.logits(torch.tensor([tokens]))
    if not seen:
        raise UnsupportedModelError(f"{model.name} shows no attention patterns")
    return seen[0]
