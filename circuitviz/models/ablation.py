"""What replaces a unit that is knocked out: nothing, its mean, or its value elsewhere."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from circuitviz.models.gates import Reference, recorded

if TYPE_CHECKING:
    from circuitviz.models.model import GatedModel

AblationName = Literal["zero", "mean", "resample"]


@dataclass(frozen=True)
class Ablation:
    """What ablated units are replaced by.

    Attributes:
        name: `zero`: nothing.  `mean`: the unit's mean over all positions of a neutral corpus.
            `resample`: all units take the values they have at one random position of one
            neutral prompt; which one depends on the row's key, not on the batch.
        bank: Values to draw from; one row for `mean`, None for `zero`.
        seed: Which draw.
    """

    name: AblationName
    bank: Reference | None = None
    seed: int = 0

    def reference(self, keys: Sequence[int]) -> Reference | None:
        """Replacement values, one row per key (or one row for all, or None for zero)."""
        if self.bank is None or self.name == "mean":
            return self.bank
        size = self.bank.head.shape[0]
        rows = [random.Random(f"{self.seed} {key}").randrange(size) for key in keys]
        return Reference(self.bank.head[rows], self.bank.neuron[rows])


ZERO = Ablation("zero")


def message_key(message: str) -> int:
    """The key of a user message: the same wherever and with whatever else it is run."""
    return zlib.crc32(message.encode())


# Neutral messages that are run, at most: all their positions count in a mean, and one random
# position of each is kept for resampling.
MEASURED = {"mean": 256, "resample": 64}


@torch.no_grad()
def measure_ablation(
    model: GatedModel, name: AblationName, messages: Sequence[str], *, seed: int = 0
) -> Ablation:
    """Collect what `name` needs from neutral user messages and the model's own activations."""
    if name == "zero":
        return ZERO
    generator = torch.Generator().manual_seed(seed)
    rows = [_activations(model, message) for message in messages[: MEASURED[name]]]
    if name == "mean":
        heads = torch.cat([head for head, _ in rows]).mean(0, keepdim=True)
        neurons = torch.cat([neuron for _, neuron in rows]).mean(0, keepdim=True)
        return Ablation("mean", Reference(heads, neurons), seed)
    positions = [int(torch.randint(len(head), (), generator=generator)) for head, _ in rows]
    heads, neurons = (
        torch.stack([values[at] for values, at in zip(kind, positions, strict=True)])
        for kind in zip(*rows, strict=True)
    )
    return Ablation("resample", Reference(heads, neurons), seed)


def _activations(model: GatedModel, message: str) -> tuple[Tensor, Tensor]:
    """[pos n_layers n_heads d_head] and [pos n_layers d_mlp] of one message."""
    seen: dict[tuple[str, int], Tensor] = {}

    def keep(kind: str, layer: int, activation: Tensor) -> None:
        seen[kind, layer] = activation[0].float().to(model.device)

    with recorded(keep):
        model.logits(torch.tensor([model.prompt_tokens(message)]))
    layers = range(model.space.n_layers)
    return (
        torch.stack([seen["head", layer] for layer in layers], dim=1),
        torch.stack([seen["neuron", layer] for layer in layers], dim=1),
    )
