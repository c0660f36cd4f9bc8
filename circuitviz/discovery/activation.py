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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from circuitviz.discovery.learner import LearningStep, LearningTask, MaskLearner, Method

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from circuitviz.models.model import GatedModel

# Prompts run together.
_BATCH_ROWS = 64

# Least variance of a unit, so that one that never changes gets a finite score.
MIN_VARIANCE = 1e-12


@Method(
    name="activation",
    title="Difference of activations",
    summary="A unit scores by how differently it fires with and without what sets the "
    "behaviour off, in units of its spread; nothing is ablated.",
    paper="Arditi et al. (2024), Refusal in language models is mediated by a single direction, "
    "arXiv:2406.11717; statistic: Welch (1947), Biometrika 34:28",
    order=7,
    circuitkit="eap",
    seeded=False,
    reads_answers=False,
)
@dataclass(frozen=True)
class ActivationLearner(MaskLearner):
    """Score every unit by how differently it fires; a block by the mean of its units.

    Attributes:
        prompts: Most prompts of each set.
    """

    prompts: int = 256

    def search(self, task: LearningTask) -> Iterator[LearningStep]:
        """Score every unit, batch by batch; see `MaskLearner`."""
        import torch

        rows = self._rows(task)
        starts = range(0, len(rows), _BATCH_ROWS)
        is_attack = torch.tensor([attack for attack, _ in rows])
        activations: list[tuple[Tensor, Tensor]] = []
        for step, start in enumerate(starts, 1):
            batch = [tokens for _, tokens in rows[start : start + _BATCH_ROWS]]
            activations.append(last_activations(task.model, batch))
            seen = is_attack[: start + len(batch)]
            distances = [
                welch_distance(torch.cat(kind), seen) for kind in zip(*activations, strict=True)
            ]
            scores = task.units.spread(task.units.mean(torch.cat(distances).numpy()))
            yield LearningStep(step, {}, scores, len(starts))

    def _rows(self, task: LearningTask) -> list[tuple[bool, list[int]]]:
        """Whether a prompt sets the behaviour off, and its tokens; both sets take turns."""
        attack = task.behaviour.prompts("train", "attack")
        asked = [prompt.asked for prompt in attack]
        plain = [prompt.text for prompt in attack if prompt.triggered is not None]
        plain = plain or [prompt.text for prompt in task.behaviour.prompts("train", "benign")]
        pairs = zip_longest(asked[: self.prompts], plain[: self.prompts])
        texts = chain.from_iterable(((True, one), (False, other)) for one, other in pairs)
        return [
            (is_it, task.model.prompt_tokens(text)) for is_it, text in texts if text is not None
        ]


def last_activations(
    model: GatedModel, prompts: Sequence[list[int]]
) -> tuple[Float[Tensor, "prompts heads d_head"], Float[Tensor, "prompts neurons 1"]]:
    """What units do where the answer begins, in flat order.

    Args:
        model: The model, run intact.
        prompts: Token ids of each prompt.
    """
    import torch

    from circuitviz.models.gates import recorded

    last = torch.tensor([len(tokens) - 1 for tokens in prompts])
    padded = torch.zeros(len(prompts), int(last.max()) + 1, dtype=torch.long)
    for row, tokens in enumerate(prompts):
        padded[row, : len(tokens)] = torch.tensor(tokens)
    seen: dict[tuple[str, int], Tensor] = {}

    def record(kind: str, layer: int, activation: Tensor) -> None:
        seen[kind, layer] = activation[torch.arange(len(prompts)), last].float().cpu()

    with torch.no_grad(), recorded(record):
        model.logits(padded)
    layers = range(model.space.n_layers)
    heads = torch.cat([seen["head", layer] for layer in layers], dim=1)
    return heads, torch.cat([seen["neuron", layer] for layer in layers], dim=1)[..., None]


def welch_distance(
    values: Float[Tensor, "rows units dims"], is_attack: Bool[Tensor, " rows"]
) -> Float[Tensor, " units"]:
    """How far apart two means are, in standard errors; at least 0.

    Args:
        values: Activations.
        is_attack: Which set a row belongs to; both have at least one.
    """
    one, other = values[is_attack].double(), values[~is_attack].double()
    difference = (one.mean(0) - other.mean(0)).square().sum(-1)
    first, second = (
        part.var(0, correction=min(1, len(part) - 1)).sum(-1) / len(part) for part in (one, other)
    )
    return (difference / (first + second).clamp_min(MIN_VARIANCE)).sqrt()
