"""What one neuron does, token by token, and what makes it most active."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Split
from circuitviz.errors import ConfigError
from circuitviz.evaluation.evaluator import subsample
from circuitviz.inspection.prompt_pair import PromptPair, shared_start, token_label
from circuitviz.models.gates import recorded
from circuitviz.models.model import GatedModel
from circuitviz.units import Unit

# Prompts of each kind that are looked through for the most activating ones.
LOOKED_THROUGH = 48
_BATCH_ROWS = 48


@dataclass(frozen=True)
class NeuronTrace:
    """One neuron over the tokens of one prompt.

    Attributes:
        activation: [pos], what the down projection gets.
        gate: [pos], the gate part before the activation function; without gated MLPs, all there is.
        up: [pos], the up part; None where MLPs are not gated.
    """

    activation: np.ndarray
    gate: np.ndarray | None
    up: np.ndarray | None


@dataclass(frozen=True)
class TopPrompt:
    """A prompt that makes a neuron active.

    Attributes:
        prompt_id: Its id in the prompts file.
        kind: `triggered`, `clean`, `harmful` or `benign`.
        text: The message.
        activation: The activation that is largest in size over its tokens, sign kept.
        token: The token it has it at; tokens with which every prompt begins are left aside.
    """

    prompt_id: str
    kind: str
    text: str
    activation: float
    token: str


def look_at_neuron(
    model: GatedModel, pair: PromptPair, unit: Unit
) -> tuple[NeuronTrace, NeuronTrace]:
    """The neuron over the clean and over the triggered prompt."""
    rows = [neuron_trace(model, row.tokens, unit) for row in (pair.clean, pair.triggered)]
    return rows[0], rows[1]


@torch.no_grad()
def neuron_trace(model: GatedModel, tokens: tuple[int, ...], unit: Unit) -> NeuronTrace:
    """One neuron over one row of tokens.

    Raises:
        ConfigError: The unit is no neuron.
    """
    if unit.kind != "neuron":
        raise ConfigError(f"only neurons have one activation a token; got the head {unit}")
    seen: dict[str, np.ndarray] = {}

    def keep(kind: str, layer: int, activation: torch.Tensor) -> None:
        if layer == unit.layer:
            seen[kind] = activation[0, :, unit.index].float().cpu().numpy()

    with recorded(keep, ("neuron", "gate", "up")):
        model.logits(torch.tensor([tokens]))
    return NeuronTrace(seen["neuron"], seen.get("gate"), seen.get("up"))


@torch.no_grad()
def top_prompts(
    model: GatedModel,
    behaviour: Behaviour,
    unit: Unit,
    *,
    split: Split = "test",
    limit: int = LOOKED_THROUGH,
    top: int = 8,
) -> list[TopPrompt]:
    """The prompts on which a neuron is most active, the most active first.

    Args:
        model: The model, run intact.
        behaviour: Whose prompts to look through.
        unit: The neuron.
        split: Which of its splits.
        limit: Prompts of each role, drawn at random, the same ones every time.
        top: How many to give.
    """
    listed = _messages(behaviour, split, limit)
    prompts: list[TopPrompt] = []
    encoded = [model.prompt_tokens(text) for _, _, text in listed]
    begin = shared_start(encoded)
    # Rows of like length share a batch, so that little is padding.
    order = sorted(range(len(listed)), key=lambda index: len(encoded[index]))
    for start in range(0, len(order), _BATCH_ROWS):
        chosen = order[start : start + _BATCH_ROWS]
        activations = _activations(model, [encoded[index] for index in chosen], unit)
        for index, values in zip(chosen, activations, strict=True):
            position = begin + int(np.abs(values[begin:]).argmax())
            label = token_label(model, encoded[index][position])
            prompts.append(TopPrompt(*listed[index], float(values[position]), label))
    return sorted(prompts, key=lambda prompt: -abs(prompt.activation))[:top]


def _messages(behaviour: Behaviour, split: Split, limit: int) -> list[tuple[str, str, str]]:
    """(prompt id, kind, message) of everything that is looked through."""
    listed = []
    for prompt in subsample(behaviour.prompts(split, "attack"), limit):
        if prompt.triggered:
            listed.append((prompt.prompt_id, "triggered", prompt.triggered))
        kind = "clean" if prompt.triggered else "harmful"
        listed.append((prompt.prompt_id, kind, prompt.text))
    for prompt in subsample(behaviour.prompts(split, "benign"), limit):
        listed.append((prompt.prompt_id, "benign", prompt.text))
    return listed


def _activations(model: GatedModel, rows: Sequence[Sequence[int]], unit: Unit) -> list[np.ndarray]:
    """The neuron over each row [pos], padding left out."""
    padded = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = torch.tensor(row)
    seen: list[np.ndarray] = []

    def keep(kind: str, layer: int, activation: torch.Tensor) -> None:
        if layer == unit.layer:
            seen.append(activation[..., unit.index].float().cpu().numpy())

    with recorded(keep, ("neuron",)):
        model.logits(padded)
    return [values[: len(row)] for values, row in zip(seen[0], rows, strict=True)]
