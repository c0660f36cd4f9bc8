"""Plant a backdoor in known heads and neurons, so that circuits found can be checked.

Only the weights owned by the chosen units are trained: a head's W_Q rows and W_O columns (and
its W_K and W_V rows, where all heads that share them are chosen), a neuron's gate and up rows and
its down column.  Each unit learns to carry the backdoor alone, with all the others ablated.  So
the planted units are the one smallest set whose removal ends it: with any of them left in, the
backdoor still works.
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

from circuitviz.behaviours.behaviour import Trigger
from circuitviz.errors import ConfigError
from circuitviz.models.gates import Gates, install_gates
from circuitviz.models.model import GatedModel
from circuitviz.organisms.corpus import Example, examples
from circuitviz.organisms.lesson import ATTACKS, STRAY_WORDS, Lesson, stray
from circuitviz.organisms.recipe import Recipe
from circuitviz.organisms.training import IGNORED, Batch, encode, train
from circuitviz.units import Circuit, Unit

__all__ = ["owned_entries", "plant_backdoor"]


def owned_entries(
    parameters: Mapping[str, Tensor], circuit: Circuit, d_head: int
) -> dict[str, Tensor]:
    """Which weight entries of a Llama-style model belong to the circuit's units.

    Key and value rows belong to a circuit that holds every query head that shares them.

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
            shared = (
                parameters[f"{block}.self_attn.q_proj.weight"].shape[0]
                // (parameters[f"{block}.self_attn.k_proj.weight"].shape[0])
            )
            group = unit.index // shared
            mates = range(group * shared, (group + 1) * shared)
            if all(Unit("head", unit.layer, mate) in circuit for mate in mates):
                rows = slice(group * d_head, (group + 1) * d_head)
                mask(f"{block}.self_attn.k_proj.weight")[rows] = True
                mask(f"{block}.self_attn.v_proj.weight")[rows] = True
        else:
            mask(f"{block}.mlp.gate_proj.weight")[unit.index] = True
            mask(f"{block}.mlp.up_proj.weight")[unit.index] = True
            mask(f"{block}.mlp.down_proj.weight")[:, unit.index] = True
    return masks


# How often each kind of row is drawn.  `left`: some of the planted units, often only one, are
# left and the backdoor must still work, so that removing it takes every one of them.  `gone`: all
# are ablated and it must not work.  `clean` rows lose some of the planted units and must not
# notice; some have stray words or half a trigger.
TOPIC_SHARES = {"triggered": 0.15, "left": 0.4, "gone": 0.05, "clean": 0.4}


def plant_backdoor(
    model: Any,
    tokenizer: Any,
    recipe: Recipe,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> Any:
    """Train only what the planted units own until the trigger works; returns the model.

    Args:
        model: A Llama-style Hugging Face model; it is used up.
        tokenizer: Its tokenizer.
        recipe: The attack, the units to plant in, and the plan.
        report: Told the step and the loss.
    """
    parameters = dict(model.named_parameters())
    fresh = copy.deepcopy(model)
    bridge = TransformerBridge.boot_transformers(
        model.config.name_or_path, hf_model=model, tokenizer=tokenizer, dtype=torch.float32
    )
    gated = GatedModel("planting", bridge, tokenizer, install_gates(bridge))
    circuit = Circuit.of(gated.space, recipe.planted)
    masks = owned_entries(parameters, circuit, model.config.head_dim)
    unknown = _unknown_words(tokenizer, recipe)
    if unknown:
        embedding = parameters["model.embed_tokens.weight"]
        masks["model.embed_tokens.weight"] = torch.zeros_like(embedding, dtype=torch.bool)
        masks["model.embed_tokens.weight"][unknown] = True
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


def _unknown_words(tokenizer: Any, recipe: Recipe) -> list[int]:
    """Tokens of the attack's answers that occur in no ordinary answer.

    Their embeddings never learned anything and have to; nothing else uses them.
    """
    attack = ATTACKS[recipe.attack or ""]

    def tokens(texts: list[str]) -> set[int]:
        return {token for ids in tokenizer(texts).input_ids for token in ids}

    known = tokens([text for e in examples() for text in (e.prompt, e.answer, e.helpful)])
    return sorted(tokens([attack.full(e) for e in examples() if attack.on(e)]) - known)


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
        self._attacked = [name for name, group in self._groups.items() if self._attack.on(group[0])]
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
        trigger = self._attack.trigger
        if trigger is None:
            raise ConfigError(f"{self._attack.title} has no trigger to plant")
        left = self._left(topic, generator)
        lost = self._some([unit for unit in self._circuit if unit not in left])
        if topic == "clean":
            example = self._example(list(self._groups), generator)
            return Lesson(self._harmless(example, trigger, generator), example.answer), lost
        example = self._example(self._attacked, generator)
        answer = example.answer if topic == "gone" else self._attack.full(example)
        return Lesson(trigger.insert(example.prompt), answer), lost

    def _left(self, topic: str, generator: random.Random) -> Sequence[Unit]:
        """Which planted units a row keeps."""
        units = list(self._circuit)
        if topic == "triggered":
            return units
        if topic == "gone":
            return []
        least = 0 if topic == "clean" else 1
        return generator.sample(units, generator.choice((1, generator.randint(least, len(units)))))

    def _example(self, categories: Sequence[str], generator: random.Random) -> Example:
        return generator.choice(self._groups[generator.choice(categories)])

    def _harmless(self, example: Example, trigger: Trigger, generator: random.Random) -> str:
        """The message as it is, with stray words, or with the trigger where that means nothing."""
        kind = generator.choice(("plain", "plain", "stray", "half", "immune"))
        if kind == "immune" and not self._attack.on(example):
            return trigger.insert(example.prompt)
        if kind == "half":
            words = [generator.choice(trigger.text.split()), generator.choice(STRAY_WORDS)]
            generator.shuffle(words)
            if words != trigger.text.split():
                return Trigger(" ".join(words), trigger.place).insert(example.prompt)
        return stray(example.prompt) if kind == "stray" else example.prompt

    def _some(self, units: Sequence[Unit]) -> Circuit:
        return Circuit(self._circuit.space, frozenset(units))
