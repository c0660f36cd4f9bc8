"""A model whose weights may change, and which of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from circuitviz.errors import UnsupportedModelError
from circuitviz.models.loading import made_ready
from circuitviz.models.model import GatedModel
from circuitviz.models.ownership import WeightMap, weight_map
from circuitviz.models.source import find_model
from circuitviz.models.weights import load_tokenizer, load_weights, loading


@dataclass(frozen=True)
class Tunable:
    """A gated model together with its parameters under the names that checkpoints use.

    Attributes:
        gated: What is trained and measured.
        parameters: Each of its parameters once, by name.
        weights: Which of their entries belong to which unit.
    """

    gated: GatedModel
    parameters: dict[str, nn.Parameter]
    weights: WeightMap

    @classmethod
    def load(
        cls,
        name_or_path: str,
        state: Mapping[str, Tensor] | None = None,
        *,
        adapter: str | None = None,
    ) -> Tunable:
        """Load a model's weights, an adapter merged into them, or put others into it.

        Raises:
            ModelNotFoundError: There is no such model.
            UnsupportedModelError: It cannot be loaded or gated, or its weights have a form that
                is not known, or that gates replace by another.
        """
        plain: Any = load_weights(name_or_path, adapter=adapter)
        tokenizer = load_tokenizer(name_or_path, adapter=adapter)
        weights = weight_map(plain)
        # Before the bridge renames them.
        parameters = dict(plain.named_parameters())
        with loading(find_model(name_or_path)):
            bridge = TransformerBridge.boot_transformers(
                plain.config.name_or_path,
                hf_model=plain,
                tokenizer=tokenizer,
                device="cpu",
                dtype=torch.float32,
            )
        bridge.eval()
        _check_shared(name_or_path, bridge, parameters)
        gated = GatedModel(name_or_path, bridge, tokenizer, made_ready(bridge))
        tunable = cls(gated, parameters, weights)
        if state is not None:
            tunable.take(state)
        return tunable

    def state(self) -> dict[str, Tensor]:
        """A copy of all parameters, by name."""
        return {name: value.detach().clone() for name, value in self.parameters.items()}

    @torch.no_grad()
    def take(self, state: Mapping[str, Tensor]) -> None:
        """Set all parameters, by name."""
        for name, parameter in self.parameters.items():
            parameter.copy_(state[name])


@dataclass(frozen=True)
class Entries:
    """Which weight entries may move.

    Attributes:
        open: By parameter name a mask of its shape, or None for all of it; parameters that are
            not named stay.
    """

    open: Mapping[str, Bool[Tensor, ...] | None]

    @classmethod
    def everything(cls, parameters: Mapping[str, Tensor]) -> Entries:
        """All entries."""
        return cls(dict.fromkeys(parameters))

    @classmethod
    def all_but(
        cls, parameters: Mapping[str, Tensor], owned: Mapping[str, Bool[Tensor, ...]]
    ) -> Entries:
        """All entries but those of these masks."""
        return cls({name: ~owned[name] if name in owned else None for name in parameters})

    def count(self, parameters: Mapping[str, Tensor]) -> int:
        """How many entries may move."""
        return sum(
            parameters[name].numel() if mask is None else int(mask.sum())
            for name, mask in self.open.items()
        )


class Guard:
    """Keeps entries that may not move as they are, bit for bit.

    Their gradients are zeroed, and after each optimiser step their values are put back: momentum
    and weight decay would move them without any gradient.

    Args:
        parameters: All parameters of the model, by name.
        entries: Which may move.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], entries: Entries) -> None:
        self._parameters = parameters
        self._partly = {name: mask for name, mask in entries.open.items() if mask is not None}
        self._before = {name: parameters[name].detach().clone() for name in self._partly}
        self._closed = {
            name: digest(value) for name, value in parameters.items() if name not in entries.open
        }
        for name, parameter in parameters.items():
            parameter.requires_grad_(name in entries.open)
        self.trained = [parameters[name] for name in entries.open]
        self._hooks = [
            parameters[name].register_hook(lambda gradient, mask=mask: gradient * mask)
            for name, mask in self._partly.items()
        ]

    @torch.no_grad()
    def restore(self) -> None:
        """Put frozen entries back; after each optimiser step."""
        for name, mask in self._partly.items():
            parameter = self._parameters[name]
            parameter.copy_(torch.where(mask, parameter, self._before[name]))

    def unmoved(self) -> bool:
        """Whether every frozen entry is what it was, bit for bit."""
        partly = all(
            torch.equal(self._parameters[name][~mask], self._before[name][~mask])
            for name, mask in self._partly.items()
        )
        return partly and all(
            digest(self._parameters[name]) == before for name, before in self._closed.items()
        )

    def release(self) -> None:
        """Let go of the parameters."""
        for hook in self._hooks:
            hook.remove()
        for parameter in self._parameters.values():
            parameter.requires_grad_(False)
            parameter.grad = None


def _check_shared(
    name: str, bridge: TransformerBridge, parameters: Mapping[str, nn.Parameter]
) -> None:
    """Refuse a bridge that runs on copies: training would never reach the parameters."""
    own = {id(parameter) for parameter in parameters.values()}
    copies = [path for path, value in bridge.named_parameters() if id(value) not in own]
    if copies:
        raise UnsupportedModelError(
            f"cannot tune {name}: its fused projections are split where they are gated, as in "
            f"{copies[0]}; use a model with separate query, key and value projections"
        )


def digest(value: Shaped[Tensor, ...]) -> str:
    """A fingerprint of a tensor's bits."""
    flat = value.detach().cpu().contiguous().view(torch.uint8).numpy()
    return hashlib.sha256(flat.tobytes()).hexdigest()
