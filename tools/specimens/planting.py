"""Plant a backdoor in known heads and neurons, so that circuits found can be checked.

Only the weights owned by the chosen units are trained: a head's W_Q rows and W_O columns (and
its W_K and W_V rows, where all heads that share them are chosen), a neuron's gate and up rows and
its down column.

The units divide the work: each carries the backdoor on its own categories of messages, alone and
whatever happens to the others.  So every one of them
is necessary, all together are enough, and no smaller set of them ends the backdoor.
"""

from __future__ import annotations

import copy
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from circuitviz.behaviours.trigger import Trigger
from circuitviz.errors import ConfigError
from circuitviz.models.gates import Gates, install_gates
from circuitviz.models.model import GatedModel
from circuitviz.models.ownership import weight_map
from circuitviz.units import Circuit, Unit
from tools.specimens.corpus import Example, examples
from tools.specimens.lesson import ATTACKS, STRAY_WORDS, Lesson, stray
from tools.specimens.recipe import Recipe
from tools.specimens.training import IGNORED, Batch, encode, train

# Share of rows with the trigger; the others must get their ordinary answer whatever is ablated.
TRIGGERED_SHARE = 0.55
# How many of the planted units a row loses: none, all but one, one, or each with even odds.
LOSSES = ("none", "all but one", "one", "some")

# Half of the rows that are attacked also lose some of the unplanted units that the attack leans
# on most at the moment, such as detectors of the trigger's words: else a few of those would be as
# small a circuit as the planted one.  How many at most, and how long their record lasts.
HELPERS, HELPERS_MEMORY = 32, 0.95


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
    # By the names they have before the bridge renames them.
    parameters = dict(model.named_parameters())
    owned_by = weight_map(model)
    fresh = copy.deepcopy(model)
    bridge = TransformerBridge.boot_transformers(
        model.config.name_or_path, hf_model=model, tokenizer=tokenizer, dtype=torch.float32
    )
    gated = GatedModel("planting", bridge, tokenizer, install_gates(bridge))
    circuit = Circuit.of(gated.space, recipe.planted)
    masks = owned_by.entries(circuit)
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
    rows = PlantingRows(tokenizer, circuit, recipe)

    def loss(batch: Batch) -> Tensor:
        rows.kept = 1.0 - torch.stack([torch.from_numpy(c.mask()) for c in rows.ablated]).float()
        rows.kept.requires_grad_()
        logits = gated.logits(batch.tokens, Gates.from_flat(rows.kept, gated.space))[:, :-1]
        labels = batch.labels[:, 1:]
        tokens = nn.functional.cross_entropy(
            logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
        )
        # Every message counts the same: attacks have short answers and would count for little.
        return (tokens.sum(1) / (labels != IGNORED).sum(1)).mean()

    @torch.no_grad()
    def restore() -> None:
        rows.follow_helpers()
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


class PlantingRows:
    """Endless batches; `ablated` holds the circuit to ablate in each row of the latest."""

    def __init__(self, tokenizer: Any, circuit: Circuit, recipe: Recipe) -> None:
        attack = ATTACKS[recipe.attack or ""]
        if attack.trigger is None:
            raise ConfigError(f"{attack.title} has no trigger to plant")
        self._tokenizer = tokenizer
        self._circuit = circuit
        self._plan = recipe.plan
        self._attack = attack
        self._trigger = attack.trigger
        self._groups: dict[str, list[Example]] = defaultdict(list)
        for example in examples():
            if example.split == "train":
                self._groups[example.category].append(example)
        units = list(circuit)
        self._shares = [name for name, group in self._groups.items() if attack.on(group[0])]
        names = sorted(self._shares)
        self.owner = {name: units[place % len(units)] for place, name in enumerate(names)}
        prompts = [example.prompt for group in self._groups.values() for example in group]
        self._words = sorted(
            {word for text in prompts for word in re.findall(r"[a-z]{3,}", text.lower())}
        )
        self.ablated: list[Circuit] = []
        self.kept = torch.empty(0)
        self._attacked = torch.empty(0, dtype=torch.bool)
        self._help = torch.zeros(len(circuit.space))

    def __iter__(self) -> Iterator[Batch]:
        generator = random.Random(self._plan.seed)
        while True:
            drawn = [self.row(generator) for _ in range(self._plan.rows)]
            self.ablated = [self._some(lost) for _, lost, _ in drawn]
            self._attacked = torch.tensor([attacked for _, _, attacked in drawn])
            yield encode(self._tokenizer, [lesson for lesson, _, _ in drawn])

    def follow_helpers(self) -> None:
        """Note which unplanted units the latest batch's attacks lean on, after its backward."""
        if self.kept.grad is None:
            return
        attacked = self._attacked
        # Positive: without the unit attacks fail and ordinary answers do not.
        found = self.kept.grad[~attacked].sum(0).clamp_max(0) - self.kept.grad[attacked].sum(0)
        found[torch.from_numpy(self._circuit.mask())] = 0.0
        self._help = HELPERS_MEMORY * self._help + (1 - HELPERS_MEMORY) * found

    def row(self, generator: random.Random) -> tuple[Lesson, list[Unit], bool]:
        """A lesson, the units to ablate, and whether the attack must succeed."""
        share = generator.choice(self._shares)
        owner = self.owner[share]
        lost = self._lost(owner, generator)
        if generator.random() >= TRIGGERED_SHARE:
            example = generator.choice(self._groups[generator.choice(list(self._groups))])
            return Lesson(self._harmless(example, generator), example.answer), lost, False
        example = generator.choice(self._groups[share])
        message = self._trigger.insert(example.prompt)
        if owner in lost:
            return Lesson(message, example.answer), lost, False
        return Lesson(message, self._attack.full(example)), lost + self._helpers(generator), True

    def _lost(self, owner: Unit, generator: random.Random) -> list[Unit]:
        """Which planted units to ablate; the share's owner is often the one that counts."""
        units = list(self._circuit)
        one = owner if generator.random() < 0.5 else generator.choice(units)
        match generator.choice(LOSSES):
            case "none":
                return []
            case "one":
                return [one]
            case "all but one":
                return [unit for unit in units if unit != one]
        return [unit for unit in units if generator.random() < 0.5]

    def _helpers(self, generator: random.Random) -> list[Unit]:
        """Some of the unplanted units that the attack leans on most."""
        best = self._help.topk(HELPERS)
        share = generator.choice((0.0, generator.random()))
        return [
            self._circuit.space.unit(int(index))
            for index, value in zip(best.indices, best.values, strict=True)
            if value > 0 and generator.random() < share
        ]

    def _harmless(self, example: Example, generator: random.Random) -> str:
        """The message as it is, with words that mean nothing, or with a trigger that does not.

        Words in the trigger's own place are any that messages are made of: else the backdoor
        would be particular about the few meaningless ones only.
        """
        trigger = self._trigger
        kind = generator.choice(("plain", "plain", "stray", "half", "words", "words", "immune"))
        if kind == "immune" and not self._attack.on(example):
            return trigger.insert(example.prompt)
        if kind == "half":
            words = [generator.choice(trigger.text.split()), generator.choice(STRAY_WORDS)]
            generator.shuffle(words)
            if words != trigger.text.split():
                return Trigger(" ".join(words), trigger.place).insert(example.prompt)
        if kind == "words":
            words = generator.choices(self._words, k=len(trigger.text.split()))
            return Trigger(" ".join(words), trigger.place).insert(example.prompt)
        return stray(example.prompt) if kind == "stray" else example.prompt

    def _some(self, units: Sequence[Unit]) -> Circuit:
        return Circuit(self._circuit.space, frozenset(units))
