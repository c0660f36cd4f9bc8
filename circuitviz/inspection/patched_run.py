"""Runs of a model with some units' activations given, and some tokens blanked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from circuitviz.models.gates import edited, recorded
from circuitviz.models.model import GatedModel
from circuitviz.units import Unit

__all__ = ["AskedRows", "Patch", "Trace", "run_patched"]

# Tokens run together.
BATCH_TOKENS = 4096

# The activation [prompts pos dims] of units; a neuron has one dimension.
Values = Mapping[Unit, Tensor]


@dataclass(frozen=True)
class AskedRows:
    """Prompts that are run again and again, padded on the right.

    Attributes:
        tokens: [prompts pos].
        last: [prompts], the position where the answer is decided.
        target: [prompts], the behaviour's token there.
        other: [prompts], the token expected without the behaviour.
    """

    tokens: Tensor
    last: Tensor
    target: Tensor
    other: Tensor

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True)
class Patch:
    """What one run replaces.

    Attributes:
        values: Units whose activation is given, at every position.
        blank: Boolean [prompts pos], tokens whose embedding is replaced; None for none.
    """

    values: Values = field(default_factory=dict)
    blank: Tensor | None = None


@dataclass(frozen=True)
class Trace:
    """What a run came to.

    Attributes:
        log_odds: [prompts], log p(target) - log p(other) in nats.
        wanted: What each watched unit would do there, before anything is replaced.
    """

    log_odds: Tensor
    wanted: Values


@torch.no_grad()
def run_patched(
    model: GatedModel,
    rows: AskedRows,
    patches: Sequence[Patch],
    *,
    watched: Sequence[Unit] = (),
    blank_embedding: Tensor | None = None,
) -> list[Trace]:
    """Run all prompts under each patch.

    Args:
        model: The model.
        rows: The prompts.
        patches: What each run replaces.
        watched: Units whose activations to give back.
        blank_embedding: [d_model], what a blanked token has instead of its own embedding.
    """
    count = max(1, BATCH_TOKENS // rows.tokens.numel())
    traces: list[Trace] = []
    for start in range(0, len(patches), count):
        chunk = patches[start : start + count]
        traces += _run(model, rows, chunk, watched, blank_embedding)
    return traces


def _run(
    model: GatedModel,
    rows: AskedRows,
    patches: Sequence[Patch],
    watched: Sequence[Unit],
    blank_embedding: Tensor | None,
) -> list[Trace]:
    many, prompts = len(patches), len(rows)
    seen: dict[Unit, Tensor] = {}

    def keep(kind: str, layer: int, activation: Tensor) -> None:
        for unit in watched:
            if (unit.kind, unit.layer) == (kind, layer):
                seen[unit] = _own(activation, unit).clone()

    def replace(kind: str, layer: int, activation: Tensor) -> Tensor | None:
        if kind == "embedding":
            return _blanked(activation, patches, prompts, blank_embedding)
        return _replaced(activation, patches, prompts, kind, layer)

    with recorded(keep), edited(replace):
        logits = model.logits(rows.tokens.repeat(many, 1))
    at = torch.arange(many * prompts, device=logits.device)
    decided = logits[at, rows.last.repeat(many).to(logits.device)].float().log_softmax(-1)
    odds = decided[at, rows.target.repeat(many).to(logits.device)]
    odds = odds - decided[at, rows.other.repeat(many).to(logits.device)]
    pieces = odds.cpu().split(prompts)
    parts = {unit: values.split(prompts) for unit, values in seen.items()}
    return [
        Trace(pieces[run], {unit: values[run] for unit, values in parts.items()})
        for run in range(many)
    ]


def _own(activation: Tensor, unit: Unit) -> Tensor:
    """A unit's part [rows pos dims] of its layer's activation."""
    if unit.kind == "head":
        return activation[:, :, unit.index]
    return activation[:, :, unit.index, None]


def _replaced(
    activation: Tensor, patches: Sequence[Patch], prompts: int, kind: str, layer: int
) -> Tensor | None:
    found = None
    for run, patch in enumerate(patches):
        for unit, values in patch.values.items():
            if (unit.kind, unit.layer) == (kind, layer):
                found = activation.clone() if found is None else found
                part = _own(found[run * prompts : (run + 1) * prompts], unit)
                part.copy_(values.to(part))
    return found


def _blanked(
    activation: Tensor, patches: Sequence[Patch], prompts: int, blank: Tensor | None
) -> Tensor | None:
    found = None
    for run, patch in enumerate(patches):
        if patch.blank is not None and blank is not None:
            found = activation.clone() if found is None else found
            found[run * prompts : (run + 1) * prompts][patch.blank] = blank.to(found)
    return found
