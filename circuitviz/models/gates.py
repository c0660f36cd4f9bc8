"""Gates on every head and neuron: the only place that names hook points.

The hooks are installed once and stay.  They read the gates in force from a context variable, so
two threads can run the same model under different circuits, and with no gates set the model is
the plain model, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers.pytorch_utils import Conv1D

from circuitviz.errors import ConfigError, UnsupportedModelError
from circuitviz.units import Circuit, UnitSpace


@dataclass(frozen=True)
class Reference:
    """What ablated units are replaced by, one row per row of the batch, or one row for all.

    Attributes:
        head: Values of `hook_z`.
        neuron: Values of `hook_post`.
    """

    head: Float[Tensor, "rows n_layers n_heads d_head"]
    neuron: Float[Tensor, "rows n_layers d_mlp"]


@dataclass(frozen=True)
class Gates:
    """How much of each unit is kept: 1 keeps the activation, 0 replaces it by the reference.

    Attributes:
        head: Values in [0, 1]; rows is the batch size or 1.
        neuron: Values in [0, 1].
        reference: What gates below 1 mix in; None is zero.
        kinds: Numbers from 0 on, the same for rows under the same gates with the same reference;
            None where that is not known.
    """

    head: Float[Tensor, "rows n_layers n_heads"]
    neuron: Float[Tensor, "rows n_layers d_mlp"]
    reference: Reference | None = None
    kinds: Int[Tensor, " rows"] | None = None

    def of(self, rows: Int[Tensor, " few"]) -> Gates:
        """The gates of some rows."""

        def some(values: Tensor) -> Tensor:
            return values if len(values) == 1 else values[rows.to(values.device)]

        reference = self.reference
        if reference is not None:
            reference = Reference(some(reference.head), some(reference.neuron))
        return Gates(some(self.head), some(self.neuron), reference)

    @classmethod
    def knock_out(
        cls, circuits: Sequence[Circuit], reference: Reference | None = None, device: str = "cpu"
    ) -> Gates:
        """Gates that ablate one circuit per row."""
        # A circuit may stand in many rows, and in a real model it has ten thousands of units.
        known = {id(circuit): torch.from_numpy(circuit.mask()) for circuit in circuits}
        masks = torch.stack([known[id(circuit)] for circuit in circuits])
        number = {key: index for index, key in enumerate(known)}
        kinds = torch.tensor([number[id(circuit)] for circuit in circuits])
        flat = 1.0 - masks.float().to(device)
        return cls.from_flat(flat, circuits[0].space, reference, kinds)

    @classmethod
    def from_flat(
        cls,
        flat: Float[Tensor, "rows units"],
        space: UnitSpace,
        reference: Reference | None = None,
        kinds: Int[Tensor, " rows"] | None = None,
    ) -> Gates:
        """Gates from values in the flat order of `space`, rows alike by `kinds`."""
        if flat.ndim != 2 or flat.shape[1] != len(space):
            raise ConfigError(f"gates must be [rows {len(space)}]; got {list(flat.shape)}")
        heads, neurons = flat.split([space.total_heads, space.total_neurons], dim=1)
        return cls(
            heads.reshape(-1, space.n_layers, space.n_heads),
            neurons.reshape(-1, space.n_layers, space.d_mlp),
            reference,
            # Where each row has a reference of its own, no two are alike.
            kinds if reference is None or len(reference.head) == 1 else None,
        )


# What a forward pass sees: gates, a function that is shown each activation, or one that may
# replace it.
Recorder = Callable[[str, int, Tensor], None]
Editor = Callable[[str, int, Tensor], Tensor | None]
_GATES: ContextVar[Gates | None] = ContextVar("circuitviz_gates", default=None)
_RECORDER: ContextVar[tuple[Recorder, frozenset[str]] | None] = ContextVar(
    "circuitviz_recorder", default=None
)
_EDITOR: ContextVar[Editor | None] = ContextVar("circuitviz_editor", default=None)

# What is gated, and what can be recorded and edited besides, where a model has it.
UNIT_POINTS = {"head": "blocks.{}.attn.hook_z", "neuron": "blocks.{}.mlp.hook_post"}
LAYER_POINTS = {
    "pattern": "blocks.{}.attn.hook_pattern",
    "gate": "blocks.{}.mlp.hook_pre",
    "up": "blocks.{}.mlp.hook_pre_linear",
}
MODEL_POINTS = {"embedding": "hook_embed", "residual": "ln_final.hook_in"}

Value = TypeVar("Value")


@contextmanager
def _in_force(variable: ContextVar[Value], value: Value) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def gated(gates: Gates | None) -> AbstractContextManager[None]:
    """Apply gates to every gated model run inside, in this thread only."""
    return _in_force(_GATES, gates)


def gates_in_force() -> Gates | None:
    """The gates that a model run now, in this thread, would be under."""
    return _GATES.get()


def recorded(
    recorder: Recorder, kinds: Collection[str] = tuple(UNIT_POINTS)
) -> AbstractContextManager[None]:
    """Show `recorder(kind, layer, activation)` the activations inside, in this thread only.

    Activations come before editing and gating.

    Args:
        recorder: What is called.
        kinds: What it is shown: `head` [batch pos n_heads d_head], `neuron` [batch pos d_mlp],
            `pattern` [batch n_heads pos pos] (from, to), `gate` [batch pos d_mlp] before the
            activation function, `up` [batch pos d_mlp] where MLPs are gated; and of the model as a
            whole, with layer -1, `embedding` [batch pos d_model] of the tokens and `residual`
            [batch pos d_model] before the final norm.
    """
    return _in_force(_RECORDER, (recorder, frozenset(kinds)))


def edited(editor: Editor) -> AbstractContextManager[None]:
    """Let `editor(kind, layer, activation)` replace activations inside, in this thread only.

    It is asked about every kind that `recorded` names, after recording and before gating, and
    returns the activation to go on with, or None to leave it.
    """
    return _in_force(_EDITOR, editor)


def install_gates(bridge: TransformerBridge) -> UnitSpace:
    """Put the gate hooks on a model, once, and return the units they cover.

    Raises:
        UnsupportedModelError: The model has no separate heads and MLP neurons to gate, as with
            mixture-of-experts layers.
    """
    space = unit_space(bridge)
    places = [(kind, point, -1) for kind, point in MODEL_POINTS.items()]
    for kind, point in (UNIT_POINTS | LAYER_POINTS).items():
        places += [(kind, point.format(layer), layer) for layer in range(space.n_layers)]
    for kind, point, layer in places:
        if bridge.get_hook_point(point) is not None:
            bridge.add_perma_hook(point, _hook(kind, layer))
    return space


def unit_space(bridge: TransformerBridge) -> UnitSpace:
    """The units of a model, which may be one without data.

    Raises:
        UnsupportedModelError: It has no separate heads and MLP neurons, or not as many in every
            layer.
    """
    config = bridge.cfg
    if getattr(config, "num_experts", None) or config.d_mlp is None:
        raise UnsupportedModelError(
            f"{config.model_name} has mixture-of-experts layers or no MLP: `hook_post` does not "
            "mean neurons there; choose a model with dense MLPs"
        )
    for layer in range(config.n_layers):
        for point in UNIT_POINTS.values():
            if bridge.get_hook_point(point.format(layer)) is None:
                raise UnsupportedModelError(
                    f"{config.model_name} has no hook point {point.format(layer)}; circuitviz "
                    "needs separate attention heads and MLP neurons in every layer"
                )
    widths = {_neurons(bridge, layer, config.d_mlp) for layer in range(config.n_layers)}
    if len(widths) != 1:
        several = " and ".join(map(str, sorted(widths)))
        raise UnsupportedModelError(
            f"{config.model_name} has layers of {several} neurons; circuitviz needs as many in "
            "every layer: choose a model whose layers are alike"
        )
    return UnitSpace(config.n_layers, config.n_heads, *widths)


def _neurons(bridge: TransformerBridge, layer: int, stated: int) -> int:
    """Neurons of a layer: inputs of its down projection, which a configuration can misstate."""
    down = getattr(getattr(bridge.blocks[layer].mlp, "out", None), "original_component", None)
    if isinstance(down, nn.Linear):
        return down.in_features
    return down.nx if isinstance(down, Conv1D) else stated


def _hook(kind: str, layer: int) -> Callable[..., Tensor | None]:
    """Shows an activation to the recorder in force, lets the editor replace it, and gates units."""

    def hooked(activation: Tensor, hook: object) -> Tensor | None:
        recording, editor = _RECORDER.get(), _EDITOR.get()
        if recording is not None and kind in recording[1]:
            recording[0](kind, layer, activation)
        replaced = None if editor is None else editor(kind, layer, activation)
        gates = _GATES.get() if kind in UNIT_POINTS else None
        if gates is None:
            return replaced
        return _mix(activation if replaced is None else replaced, kind, layer, gates)

    return hooked


def _mix(activation: Tensor, kind: str, layer: int, gates: Gates) -> Tensor:
    # Out of place, and of this form: a gate of exactly 1 leaves every bit as it was.
    gate = getattr(gates, kind)[:, layer, None].to(activation)
    gate = gate[..., None] if kind == "head" else gate
    kept = activation * gate
    if gates.reference is None:
        return kept
    return kept + getattr(gates.reference, kind)[:, layer, None].to(activation) * (1 - gate)
