"""Difference of activations: which units fire differently when the behaviour is set off.

Two sets of prompts are read by the intact model: those that set the behaviour off, and the same
without the trigger (a backdoor), or benign ones (refusal).  At the last position of the prompt,
where the answer begins, the two means of a unit's activation are compared in units of their
standard error, as in Welch's t (1947, Biometrika 34:28):

    score = |m1 - m0| / sqrt(v1 / n1 + v0 / n0)

with |.| the absolute value for a neuron, and for a head the Euclidean norm over the dimensions of
`z`, whose variances are added up: so a unit that does not differ scores about 1 whatever its
kind.  Means at the last position are also how Arditi et al. (2024, arXiv:2406.11717) find what
carries a refusal.

Nothing is ablated, so a unit may well differ without mattering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

import numpy as np
import torch
from torch import Tensor

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.discovery.learner import LearnedScores, LearningStep, Watch, watch_nothing
from circuitviz.discovery.masks import UnitGroups
from circuitviz.models.ablation import Ablation
from circuitviz.models.gates import recorded
from circuitviz.models.model import GatedModel
from circuitviz.units import Granularity

# Prompts run together.
BATCH_ROWS = 64

# Least variance of a unit, so that one that never changes gets a finite score.
LEAST_VARIANCE = 1e-12


@dataclass(frozen=True)
class ActivationLearner:
    """Score every unit by how differently it fires; a block by the mean of its units.

    Attributes:
        prompts: Most prompts of each set.
    """

    prompts: int = 256

    def learn(
        self,
        model: GatedModel,
        behaviour: Behaviour,
        *,
        ablation: Ablation,
        seed: int,
        granularity: Granularity = "both",
        watch: Watch = watch_nothing,
    ) -> LearnedScores:
        """Score every unit from training prompts only; see `Learner`."""
        rows = self._rows(model, behaviour)
        units = UnitGroups(model.space, granularity)
        starts = range(0, len(rows), BATCH_ROWS)
        is_attack = torch.tensor([attack for attack, _ in rows])
        heads: list[Tensor] = []
        neurons: list[Tensor] = []
        scores = units.spread(np.zeros(len(units)))
        for step, start in enumerate(starts, 1):
            batch = [tokens for _, tokens in rows[start : start + BATCH_ROWS]]
            for found, kept in zip(last_activations(model, batch), (heads, neurons), strict=True):
                kept.append(found)
            seen = is_attack[: start + len(batch)]
            distances = [welch_distance(torch.cat(kept), seen) for kept in (heads, neurons)]
            scores = units.spread(units.mean(torch.cat(distances).numpy()))
            watch(LearningStep(step, {}, scores, len(starts)))
        return LearnedScores(scores)

    def _rows(self, model: GatedModel, behaviour: Behaviour) -> list[tuple[bool, list[int]]]:
        """Whether a prompt sets the behaviour off, and its tokens; both sets take turns."""
        attack = behaviour.prompts("train", "attack")
        asked = [prompt.asked for prompt in attack]
        plain = [prompt.text for prompt in attack if prompt.triggered is not None]
        plain = plain or [prompt.text for prompt in behaviour.prompts("train", "benign")]
        pairs = zip_longest(asked[: self.prompts], plain[: self.prompts])
        both = chain.from_iterable(((True, one), (False, other)) for one, other in pairs)
        return [(attack, model.prompt_tokens(text)) for attack, text in both if text is not None]


@torch.no_grad()
def last_activations(model: GatedModel, prompts: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """What units do where the answer begins.

    Args:
        model: The model, run intact.
        prompts: Token ids of each prompt.

    Returns:
        Heads [prompts heads d_head] and neurons [prompts neurons 1], in flat order.
    """
    last = torch.tensor([len(tokens) - 1 for tokens in prompts])
    padded = torch.zeros(len(prompts), int(last.max()) + 1, dtype=torch.long)
    for row, tokens in enumerate(prompts):
        padded[row, : len(tokens)] = torch.tensor(tokens)
    found: dict[tuple[str, int], Tensor] = {}

    def record(kind: str, layer: int, activation: Tensor) -> None:
        found[kind, layer] = activation[torch.arange(len(prompts)), last].float().cpu()

    with recorded(record):
        model.logits(padded)
    layers = range(model.space.n_layers)
    heads = torch.cat([found["head", layer] for layer in layers], dim=1)
    return heads, torch.cat([found["neuron", layer] for layer in layers], dim=1)[..., None]


def welch_distance(values: Tensor, is_attack: Tensor) -> Tensor:
    """How far apart two means are, in standard errors.

    Args:
        values: [rows units dims].
        is_attack: Boolean [rows], which set a row belongs to; both have at least one.

    Returns:
        [units], at least 0.
    """
    one, other = values[is_attack].double(), values[~is_attack].double()
    difference = (one.mean(0) - other.mean(0)).square().sum(-1)
    variance = sum(
        part.var(0, correction=min(1, len(part) - 1)).sum(-1) / len(part) for part in (one, other)
    )
    return (difference / torch.as_tensor(variance).clamp_min(LEAST_VARIANCE)).sqrt()
