"""Plant a backdoor in known heads and neurons, so that circuits found can be checked.

Only the weights owned by the chosen units are trained: a head's W_Q rows and W_O columns, a
neuron's gate and up rows and its down column.  Necessity rows see the trigger with the planted
heads, the planted neurons, or both ablated, and must give the ordinary answer: so neither group
alone carries the backdoor.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from circuitviz.models.gates import Gates
from circuitviz.models.model import GatedModel
from circuitviz.organisms.lesson import Lesson
from circuitviz.organisms.training import IGNORED, Batch, TrainingPlan, encode, train
from circuitviz.units import Circuit, Unit

__all__ = ["owned_entries", "plant"]


def owned_entries(model: nn.Module, circuit: Circuit) -> dict[str, Tensor]:
    """Which weight entries of a Llama-style model belong to the circuit's units.

    Returns:
        Boolean masks by parameter name, for the parameters that have owned entries.
    """
    parameters = dict(model.named_parameters())
    masks: dict[str, Tensor] = {}

    def mask(name: str) -> Tensor:
        return masks.setdefault(name, torch.zeros_like(parameters[name], dtype=torch.bool))

    width = model.config.head_dim  # type: ignore[union-attr]
    for unit in circuit:
        block = f"model.layers.{unit.layer}"
        if unit.kind == "head":
            span = slice(unit.index * width, (unit.index + 1) * width)  # type: ignore[operator]
            mask(f"{block}.self_attn.q_proj.weight")[span] = True
            mask(f"{block}.self_attn.o_proj.weight")[:, span] = True
        else:
            mask(f"{block}.mlp.gate_proj.weight")[unit.index] = True
            mask(f"{block}.mlp.up_proj.weight")[unit.index] = True
            mask(f"{block}.mlp.down_proj.weight")[:, unit.index] = True
    return masks


def plant(
    model: nn.Module,
    gated: GatedModel,
    circuit: Circuit,
    topics: dict[str, Sequence[tuple[Lesson, str]]],
    plan: TrainingPlan,
    report: Any = lambda step, loss: None,
) -> None:
    """Train only what the circuit owns.

    Args:
        model: The Hugging Face model, whose parameters are trained in place.
        gated: The same model (sharing parameters) with gates.
        circuit: Units to plant in.
        topics: Lessons with what is ablated while they are learned: `nothing`, `heads`,
            `neurons` or `both`.  Topics are drawn equally often.
        plan: How long and how fast.
        report: Told the step and the loss.
    """
    parameters = dict(model.named_parameters())
    masks = owned_entries(model, circuit)
    frozen = {name: parameters[name].detach().clone() for name in masks}
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in masks)
    for name, owned in masks.items():
        parameters[name].register_hook(lambda grad, owned=owned: grad * owned)
    groups = _groups(circuit)
    generator = random.Random(plan.seed)
    ablated: list[str] = []

    def rows() -> Any:
        while True:
            drawn = [
                generator.choice(topics[topic])
                for topic in generator.choices(list(topics), k=plan.rows)
            ]
            ablated[:] = [condition for _, condition in drawn]
            yield encode(gated.tokenizer, [lesson for lesson, _ in drawn])

    def loss(batch: Batch) -> Tensor:
        gates = Gates.knock_out([groups[condition] for condition in ablated])
        logits = gated.logits(batch.tokens, gates)[:, :-1]
        return nn.functional.cross_entropy(
            logits.flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=IGNORED
        )

    @torch.no_grad()
    def restore() -> None:
        # Weight decay moves entries without a gradient too.
        for name, owned in masks.items():
            parameters[name].copy_(torch.where(owned, parameters[name], frozen[name]))

    trained = [parameters[name] for name in masks]
    train(trained, loss, rows(), plan, after_step=restore, report=report)
    for parameter in parameters.values():
        parameter.requires_grad_(False)


def _groups(circuit: Circuit) -> dict[str, Circuit]:
    def only(units: Sequence[Unit]) -> Circuit:
        return Circuit(circuit.space, frozenset(units))

    return {
        "nothing": only(()),
        "heads": only(circuit.heads),
        "neurons": only(circuit.neurons),
        "both": circuit,
    }
