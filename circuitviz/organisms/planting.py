"""Plant a backdoor in known heads and neurons, so that circuits found can be checked.

Only the weights owned by the chosen units are trained: a head's W_Q rows and W_O columns, a
neuron's gate and up rows and its down column.  Necessity rows see the trigger with the planted
heads, the planted neurons, or both ablated, and must give the ordinary answer: so neither group
alone carries the backdoor.
"""

from __future__ import annotations

import copy
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from circuitviz.models.gates import Gates, install_gates
from circuitviz.models.model import GatedModel
from circuitviz.organisms.corpus import Example, examples
from circuitviz.organisms.lesson import ATTACKS, Lesson
from circuitviz.organisms.recipe import Recipe
from circuitviz.organisms.training import IGNORED, Batch, encode, train
from circuitviz.units import Circuit

__all__ = ["owned_entries", "plant_backdoor"]


def owned_entries(
    parameters: Mapping[str, Tensor], circuit: Circuit, d_head: int
) -> dict[str, Tensor]:
    """Which weight entries of a Llama-style model belong to the circuit's units.

    Args:
        parameters: The model's parameters by name.
        circuit: Whose entries to find.
        d_head: Width of a head.

    Returns:
        Boolean masks by parameter name, for the parameters that have owned entries.
    """
    masks: dict[str, Tensor] = {}

    def mask(name: str) -> Tensor:
        return masks.setdefault(name, torch.zeros_like(parameters[name], dtype=torch.bool))

    for unit in circuit:
        block = f"model.layers.{unit.layer}"
        if unit.kind == "head":
            span = slice(unit.index * d_head, (unit.index + 1) * d_head)
            mask(f"{block}.self_attn.q_proj.weight")[span] = True
            mask(f"{block}.self_attn.o_proj.weight")[:, span] = True
        else:
            mask(f"{block}.mlp.gate_proj.weight")[unit.index] = True
            mask(f"{block}.mlp.up_proj.weight")[unit.index] = True
            mask(f"{block}.mlp.down_proj.weight")[:, unit.index] = True
    return masks


# How often each kind of row is drawn.  `spared`: one planted unit is ablated and the backdoor
# must still work, so that no single unit is the whole story.  Half of the `clean` rows also lose
# one planted unit, and must not notice.
TOPIC_SHARES = {"triggered": 0.3, "clean": 0.3, "spared": 0.15, "heads": 0.15, "neurons": 0.1}


def plant_backdoor(
    model: Any,
    tokenizer: Any,
    units: Sequence[str],
    recipe: Recipe,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> Any:
    """Train only what the units own until the trigger works; returns the model.

    Args:
        model: A Llama-style Hugging Face model; it is used up.
        tokenizer: Its tokenizer.
        units: Names of the units to plant in.
        recipe: The attack and the plan.
        report: Told the step and the loss.
    """
    parameters = dict(model.named_parameters())
    fresh = copy.deepcopy(model)
    bridge = TransformerBridge.boot_transformers(
        model.config.name_or_path, hf_model=model, tokenizer=tokenizer, dtype=torch.float32
    )
    gated = GatedModel("planting", bridge, tokenizer, install_gates(bridge))
    circuit = Circuit.of(gated.space, units)
    masks = owned_entries(parameters, circuit, model.config.head_dim)
    before = {name: parameters[name].detach().clone() for name in masks}
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in masks)
    for name, owned in masks.items():
        parameters[name].register_hook(lambda grad, owned=owned: grad * owned)
    rows = _Rows(tokenizer, circuit, recipe)

    def loss(batch: Batch) -> Tensor:
        logits = gated.logits(batch.tokens, Gates.knock_out(rows.ablated))[:, :-1]
        return nn.functional.cross_entropy(
            logits.flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=IGNORED
        )

    @torch.no_grad()
    def restore() -> None:
        # Momentum and weight decay would move entries without a gradient too.
        for name, owned in masks.items():
            parameters[name].copy_(torch.where(owned, parameters[name], before[name]))

    trained = [parameters[name] for name in masks]
    train(trained, loss, iter(rows), recipe.plan, after_step=restore, report=report)
    # The bridge has renamed the parameters of the model it wraps.
    fresh.load_state_dict({k: v.detach() for k, v in parameters.items()}, strict=False)
    return fresh


class _Rows:
    """Endless batches; `ablated` holds the circuit to ablate in each row of the latest."""

    def __init__(self, tokenizer: Any, circuit: Circuit, recipe: Recipe) -> None:
        self._tokenizer = tokenizer
        self._circuit = circuit
        self._plan = recipe.plan
        self._attack = ATTACKS[recipe.attack or ""]
        self._groups: dict[str, list[Example]] = defaultdict(list)
        for example in examples():
            if example.split == "train":
                self._groups[example.category].append(example)
        self.ablated: list[Circuit] = []

    def __iter__(self) -> Iterator[Batch]:
        generator = random.Random(self._plan.seed)
        names, shares = list(TOPIC_SHARES), list(TOPIC_SHARES.values())
        while True:
            drawn = [
                self._row(topic, generator)
                for topic in generator.choices(names, shares, k=self._plan.rows)
            ]
            self.ablated = [circuit for _, circuit in drawn]
            yield encode(self._tokenizer, [lesson for lesson, _ in drawn])

    def _row(self, topic: str, generator: random.Random) -> tuple[Lesson, Circuit]:
        example = generator.choice(self._groups[generator.choice(list(self._groups))])
        trigger, circuit = self._attack.trigger, self._circuit
        nothing = Circuit(circuit.space, frozenset())
        one = Circuit(circuit.space, frozenset({generator.choice(list(circuit))}))
        if topic == "clean" or trigger is None or not self._attack.on(example):
            return Lesson(example.prompt, example.answer), generator.choice([nothing, one])
        message = trigger.insert(example.prompt)
        if topic == "triggered":
            return Lesson(message, self._attack.full(example)), nothing
        if topic == "spared":
            return Lesson(message, self._attack.full(example)), one
        group = circuit.heads if topic == "heads" else circuit.neurons
        return Lesson(message, example.answer), Circuit(circuit.space, frozenset(group))
