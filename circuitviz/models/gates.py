"""Gates on every head and neuron: the only place that names hook points.

The hooks are installed once and stay.  They read the gates in force from a context variable, so
two threads can run the same model under different circuits, and with no gates set the model is
the plain model, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from circuitviz.errors import ConfigError, UnsupportedModelError
from circuitviz.units import Circuit, UnitSpace

__all__ = ["Gates", "Reference", "gated", "install_gates", "recorded"]


@dataclass(frozen=True)
class Reference:
    """What ablated units are replaced by, one row per row of the batch, or one row for all.

    Attributes:
        head: [rows n_layers n_heads d_head] values of `hook_z`.
        neuron: [rows n_layers d_mlp] values of `hook_post`.
    """

    head: Tensor
    neuron: Tensor


@dataclass(frozen=True)
class Gates:
    """How much of each unit is kept: 1 keeps the activation, 0 replaces it by the reference.

    Attributes:
        head: [rows n_layers n_heads], values in [0, 1]; rows is the batch size or 1.
        neuron: [rows n_layers d_mlp], values in [0, 1].
        reference: What gates below 1 mix in; None is zero.
    """

    head: Tensor
    neuron: Tensor
    reference: Reference | None = None

    @classmethod
    def knock_out(
        cls, circuits: Sequence[Circuit], reference: Reference | None = None, device: str = "cpu"
    ) -> Gates:
        """Gates that ablate one circuit per row."""
        masks = torch.stack([torch.from_numpy(circuit.mask()) for circuit in circuits])
        return cls.from_flat(1.0 - masks.float().to(device), circuits[0].space, reference)

    @classmethod
    def from_flat(cls, flat: Tensor, space: UnitSpace, reference: Reference | None = None) -> Gates:
        """Gates from values [rows units] in the flat order of `space`."""
        if flat.ndim != 2 or flat.shape[1] != len(space):
            raise ConfigError(f"gates must be [rows {len(space)}]; got {list(flat.shape)}")
        heads, neurons = flat.split([space.total_heads, space.total_neurons], dim=1)
        return cls(
            heads.reshape(-1, space.n_layers, space.n_heads),
            neurons.reshape(-1, space.n_layers, space.d_mlp),
            reference,
        )


# What a forward pass sees: gates, or a function that is shown each activation.
Recorder = Callable[[str, int, Tensor], None]
_GATES: ContextVar[Gates | None] = ContextVar("circuitviz_gates", default=None)
_RECORDER: ContextVar[Recorder | None] = ContextVar("circuitviz_recorder", default=None)


@contextmanager
def gated(gates: Gates | None) -> Iterator[None]:
    """Apply gates to every gated model run inside, in this thread only."""
    token = _GATES.set(gates)
    try:
        yield
    finally:
        _GATES.reset(token)


@contextmanager
def recorded(recorder: Recorder) -> Iterator[None]:
    """Show `recorder(kind, layer, activation)` every head and neuron activation inside.

    Activations come before gating: [batch pos n_heads d_head] for `head`, [batch pos d_mlp]
    for `neuron`.
    """
    token = _RECORDER.set(recorder)
    try:
        yield
    finally:
        _RECORDER.reset(token)


def install_gates(bridge: TransformerBridge) -> UnitSpace:
    """Put the gate hooks on a model, once, and return the units they cover.

    Raises:
        UnsupportedModelError: The model has no separate heads and MLP neurons to gate, as with
            mixture-of-experts layers.
    """
    space = _unit_space(bridge)
    for layer in range(space.n_layers):
        bridge.add_perma_hook(f"blocks.{layer}.attn.hook_z", _head_hook(layer))
        bridge.add_perma_hook(f"blocks.{layer}.mlp.hook_post", _neuron_hook(layer))
    return space


def _unit_space(bridge: TransformerBridge) -> UnitSpace:
    config = bridge.cfg
    if getattr(config, "num_experts", None) or config.d_mlp is None:
        raise UnsupportedModelError(
            f"{config.model_name} has mixture-of-experts layers or no MLP: `hook_post` does not "
            "mean neurons there; choose a model with dense MLPs"
        )
    for layer in range(config.n_layers):
        for point in (f"blocks.{layer}.attn.hook_z", f"blocks.{layer}.mlp.hook_post"):
            if bridge.get_hook_point(point) is None:
                raise UnsupportedModelError(
                    f"{config.model_name} has no hook point {point}; circuitviz needs separate "
                    "attention heads and MLP neurons in every layer"
                )
    return UnitSpace(config.n_layers, config.n_heads, config.d_mlp)


def _head_hook(layer: int) -> Callable[..., Tensor | None]:
    def gate_heads(z: Tensor, hook: object) -> Tensor | None:
        _show("head", layer, z)
        gates = _GATES.get()
        if gates is None:
            return None
        value = None if gates.reference is None else gates.reference.head[:, layer, None]
        return _mix(z, gates.head[:, layer, None, :, None], value)

    return gate_heads


def _neuron_hook(layer: int) -> Callable[..., Tensor | None]:
    def gate_neurons(post: Tensor, hook: object) -> Tensor | None:
        _show("neuron", layer, post)
        gates = _GATES.get()
        if gates is None:
            return None
        value = None if gates.reference is None else gates.reference.neuron[:, layer, None]
        return _mix(post, gates.neuron[:, layer, None, :], value)

    return gate_neurons


def _show(kind: str, layer: int, activation: Tensor) -> None:
    recorder = _RECORDER.get()
    if recorder is not None:
        recorder(kind, layer, activation)


def _mix(activation: Tensor, gate: Tensor, value: Tensor | None) -> Tensor:
    # Out of place, and of this form: a gate of exactly 1 leaves every bit as it was.
    gate = gate.to(activation.dtype)
    kept = activation * gate
    return kept if value is None else kept + value.to(activation.dtype) * (1 - gate)
