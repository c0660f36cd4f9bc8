"""Ordinary activations, measured on neutral messages: what ablated units are replaced by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuitviz.models.ablation import ZERO, Ablation, AblationName
from circuitviz.models.gates import Reference, recorded
from circuitviz.models.model import GatedModel

# Activations kept for resampling: one random position of each of this many neutral prompts.
RESAMPLE_ROWS = 64


@torch.no_grad()
def measure_ablation(
    model: GatedModel, name: AblationName, messages: Sequence[str], *, seed: int = 0
) -> Ablation:
    """Collect what `name` needs from neutral user messages and the model's own activations."""
    if name == "zero":
        return ZERO
    generator = torch.Generator().manual_seed(seed)
    rows = [_activations(model, message) for message in messages[: 4 * RESAMPLE_ROWS]]
    if name == "mean":
        heads = torch.cat([head for head, _ in rows]).mean(0, keepdim=True)
        neurons = torch.cat([neuron for _, neuron in rows]).mean(0, keepdim=True)
        return Ablation("mean", Reference(heads, neurons), seed)
    picks = [
        (head[place], neuron[place])
        for head, neuron in rows[:RESAMPLE_ROWS]
        for place in [int(torch.randint(len(head), (), generator=generator))]
    ]
    bank = Reference(torch.stack([h for h, _ in picks]), torch.stack([n for _, n in picks]))
    return Ablation("resample", bank, seed)


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
