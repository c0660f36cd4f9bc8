"""Which weight entries belong to which head or neuron, in every architecture we know.

A head owns its W_Q rows and its W_O columns; W_K and W_V rows are shared by the query heads of a
group.  A neuron owns its gate and up rows and its down column.  Biases of these rows go with them.
Biases of the output projections, norms (those of queries and keys too, which all heads share) and
embeddings belong to no unit.

The two tables say what the parts are called and how fused ones are laid out; widths come from the
shapes.  A model fits a row where the parts are there, no other part has parameters, and the shapes
add up; anything else is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from circuitviz.errors import ConfigError, UnsupportedModelError
from circuitviz.units import Circuit, Unit, UnitSpace

# When a circuit owns the key and value rows that the query heads of a group share: only with all
# of these heads, with any of them, or never.
SharedKv = Literal["whole groups", "any", "never"]

# How the rows of a query-key-value projection follow each other, in pieces of d_head.
# separate: three projections.  concatenated: all queries, all keys, all values.
# interleaved: for each group its queries, its key, its value.
Layout = Literal["separate", "concatenated", "interleaved"]


class AttentionNames(NamedTuple):
    """Where an attention block lies in its layer, and what its parts are called."""

    path: str
    qkv: tuple[str, ...]
    out: str
    layout: Layout


class MlpNames(NamedTuple):
    """Where an MLP lies in its layer (empty: its parts are the layer's), and its parts.

    Rows that gate and up share one projection for come as all of one and then all of the other.
    """

    path: str
    into: tuple[str, ...]
    out: str


QKV = ("q_proj", "k_proj", "v_proj")

ATTENTIONS = (
    # Llama, Mistral, Qwen 2 and 3, Gemma, OLMo, StableLM, Granite, SmolLM3, Starcoder2, Nemotron
    AttentionNames("self_attn", QKV, "o_proj", "separate"),
    AttentionNames("self_attn", QKV, "dense", "separate"),  # Phi
    AttentionNames("self_attn", QKV, "out_proj", "separate"),  # OPT
    AttentionNames("self_attn", ("qkv_proj",), "o_proj", "concatenated"),  # Phi-3
    AttentionNames("attn", QKV, "out_proj", "separate"),  # GPT-J
    AttentionNames("attn.attention", QKV, "out_proj", "separate"),  # GPT-Neo
    AttentionNames("attn", ("c_attn",), "c_proj", "concatenated"),  # GPT-2
    AttentionNames("attention", ("query_key_value",), "dense", "interleaved"),  # GPT-NeoX
    AttentionNames("self_attention", ("query_key_value",), "dense", "interleaved"),  # Falcon, BLOOM
)
MLPS = (
    MlpNames("mlp", ("gate_proj", "up_proj"), "down_proj"),  # Llama and its kin
    MlpNames("mlp", ("gate_up_proj",), "down_proj"),  # Phi-3
    MlpNames("mlp", ("up_proj",), "down_proj"),  # Nemotron
    MlpNames("mlp", ("c_fc",), "c_proj"),  # GPT-2, GPT-Neo, Starcoder2
    MlpNames("mlp", ("fc1",), "fc2"),  # Phi
    MlpNames("mlp", ("fc_in",), "fc_out"),  # GPT-J
    MlpNames("mlp", ("dense_h_to_4h",), "dense_4h_to_h"),  # GPT-NeoX, Falcon, BLOOM
    MlpNames("", ("fc1",), "fc2"),  # OPT
)
LAYER_LISTS = ("model.layers", "model.decoder.layers", "gpt_neox.layers", "transformer.h")
# Norms inside an attention block, which belong to no unit.
SHARED_NORMS = ("q_norm", "k_norm", "q_layernorm", "k_layernorm")
# What the tables were checked with.
SUPPORTED = (
    "Llama, Mistral, Qwen 2 and 3, Gemma 1 to 3, OLMo 1 to 3, StableLM, Granite, SmolLM3, "
    "Starcoder2, Nemotron, Phi, Phi-3, OPT, GPT-2, GPT-J, GPT-Neo, GPT-NeoX, Falcon, BLOOM"
)


@dataclass(frozen=True)
class Projection:
    """One linear layer: its name, its widths, and whether its weight is [in out] (`Conv1D`)."""

    name: str
    n_in: int
    n_out: int
    transposed: bool
    bias: bool

    @classmethod
    def of(cls, name: str, module: nn.Module) -> Projection | None:
        """The projection a module is, or None where it is none."""
        transposed = isinstance(module, Conv1D)
        if not transposed and not isinstance(module, nn.Linear):
            return None
        widths = module.weight.shape if transposed else reversed(module.weight.shape)
        n_in, n_out = widths
        return cls(name, n_in, n_out, transposed, module.bias is not None)


class Span(NamedTuple):
    """Outputs (`row`) or inputs (`column`) of a projection."""

    projection: Projection
    side: Literal["row", "column"]
    places: slice


@dataclass(frozen=True)
class AttentionBlock:
    """The projections of one attention block."""

    qkv: tuple[Projection, ...]
    out: Projection
    layout: Layout
    n_heads: int
    n_groups: int

    @property
    def d_head(self) -> int:
        """Width of a head."""
        return self.out.n_in // self.n_heads

    @property
    def shared(self) -> int:
        """Query heads of a group, which share its key and value."""
        return self.n_heads // self.n_groups

    def fits(self) -> bool:
        """Whether the shapes add up."""
        pieces = [self.n_heads, self.n_groups, self.n_groups]
        pieces = pieces if self.layout == "separate" else [sum(pieces)]
        return (
            self.n_groups > 0
            and self.n_heads == self.shared * self.n_groups
            and self.out.n_in == self.n_heads * self.d_head
            and [part.n_out for part in self.qkv] == [count * self.d_head for count in pieces]
        )

    def query(self, head: int) -> Span:
        """Rows that make a head's query."""
        if self.layout == "interleaved":
            group, member = divmod(head, self.shared)
            return self._piece(0, group * (self.shared + 2) + member)
        return self._piece(0, head)

    def key_value(self, group: int) -> tuple[Span, Span]:
        """Rows that make a group's key and value."""
        match self.layout:
            case "separate":
                key, value = group, group
            case "concatenated":
                key, value = self.n_heads + group, self.n_heads + self.n_groups + group
            case "interleaved":
                key = group * (self.shared + 2) + self.shared
                value = key + 1
        return self._piece(1, key), self._piece(2, value)

    def output(self, head: int) -> Span:
        """Columns that read a head's output."""
        return Span(self.out, "column", slice(head * self.d_head, (head + 1) * self.d_head))

    def _piece(self, part: int, index: int) -> Span:
        """Rows of the query, key or value projection (0, 1, 2), or of the one they share."""
        projection = self.qkv[part if len(self.qkv) == 3 else 0]
        return Span(projection, "row", slice(index * self.d_head, (index + 1) * self.d_head))


@dataclass(frozen=True)
class MlpBlock:
    """The projections of one MLP."""

    into: tuple[Projection, ...]
    out: Projection

    @property
    def d_mlp(self) -> int:
        """Number of neurons."""
        return self.out.n_in

    def fits(self) -> bool:
        """Whether the shapes add up: every input projection feeds the neurons once or twice."""
        fused = 2 if len(self.into) == 1 else 1
        return all(part.n_out in (self.d_mlp, fused * self.d_mlp) for part in self.into)

    def inputs(self, neuron: int) -> list[Span]:
        """Rows that make a neuron's activation: of gate and up, in one projection or in two."""
        return [Span(part, "row", slice(neuron, None, self.d_mlp)) for part in self.into]

    def output(self, neuron: int) -> Span:
        """The column that reads the neuron."""
        return Span(self.out, "column", slice(neuron, neuron + 1))


@dataclass(frozen=True)
class WeightMap:
    """Which weight entries of one model belong to which unit.

    Attributes:
        space: The model's units.
        attentions: One block per layer.
        mlps: One block per layer.
    """

    space: UnitSpace
    attentions: tuple[AttentionBlock, ...]
    mlps: tuple[MlpBlock, ...]

    def entries(self, circuit: Circuit, shared_kv: SharedKv = "whole groups") -> dict[str, Tensor]:
        """Every entry that belongs to the circuit's units.

        Args:
            circuit: Whose entries to find.
            shared_kv: Whether key and value rows, which the query heads of a group share, belong
                to a circuit that holds all of these heads, any of them, or never.  Without
                grouped queries each head is a group of its own.

        Returns:
            Boolean masks by parameter name, for the parameters that have such entries.

        Raises:
            ConfigError: The circuit is one of another model, or `shared_kv` has another name.
        """
        if shared_kv not in get_args(SharedKv):
            legal = ", ".join(get_args(SharedKv))
            raise ConfigError(f"shared_kv must be one of {legal}; got {shared_kv!r}")
        self._check(circuit)
        return _masks(span for unit in circuit for span in self._owned(unit, circuit, shared_kv))

    def outputs(self, circuit: Circuit) -> dict[str, Tensor]:
        """The W_O and W_down columns of the circuit's units: what zero ablation sets to 0.

        Returns:
            Boolean masks by parameter name, for the parameters that have such entries.

        Raises:
            ConfigError: The circuit is one of another model.
        """
        self._check(circuit)
        return _masks(self.output(unit) for unit in circuit)

    def output(self, unit: Unit) -> Span:
        """The columns that read one unit."""
        blocks = self.attentions if unit.kind == "head" else self.mlps
        return blocks[unit.layer].output(unit.index)

    def _owned(self, unit: Unit, circuit: Circuit, shared_kv: SharedKv) -> Iterator[Span]:
        if unit.kind == "neuron":
            yield from self.mlps[unit.layer].inputs(unit.index)
            yield self.output(unit)
            return
        block = self.attentions[unit.layer]
        yield block.query(unit.index)
        yield self.output(unit)
        group = unit.index // block.shared
        mates = range(group * block.shared, (group + 1) * block.shared)
        whole = all(Unit("head", unit.layer, mate) in circuit for mate in mates)
        if shared_kv == "any" or (shared_kv == "whole groups" and whole):
            yield from block.key_value(group)

    def _check(self, circuit: Circuit) -> None:
        if circuit.space != self.space:
            raise ConfigError(
                f"the circuit is of a model with {_shape(circuit.space)}; this one has "
                f"{_shape(self.space)}: use the model the circuit was found in"
            )


def weight_map(model: PreTrainedModel) -> WeightMap:
    """Find out which weight entries belong to which unit.

    Args:
        model: A plain model; a gated one has other parameter names.

    Raises:
        UnsupportedModelError: The model has another form than the ones we know.
    """
    name, layers = type(model).__name__, _layers(model)
    n_heads = model.config.get_text_config().num_attention_heads
    attentions, mlps = [], []
    for path, layer in layers:
        known = (_attention(path, layer, row, n_heads) for row in ATTENTIONS)
        attention = next(filter(None, known), None)
        if attention is None:
            raise _unsupported(name, f"the attention of {path} has a form that is not known")
        mlp = next(filter(None, (_mlp(path, layer, row) for row in MLPS)), None)
        if mlp is None:
            raise _unsupported(
                name, f"the MLP of {path} has a form that is not known, as mixtures of experts have"
            )
        attentions.append(attention)
        mlps.append(mlp)
    shapes = {(block.d_head, mlp.d_mlp) for block, mlp in zip(attentions, mlps, strict=True)}
    if len(shapes) != 1:
        raise _unsupported(name, "its layers differ in the widths of their heads or MLPs")
    space = UnitSpace(len(layers), n_heads, mlps[0].d_mlp)
    return WeightMap(space, tuple(attentions), tuple(mlps))


def _layers(model: PreTrainedModel) -> list[tuple[str, nn.Module]]:
    """The layers by their paths."""
    for path in LAYER_LISTS:
        layers = _part(model, path)
        if isinstance(layers, nn.ModuleList) and len(layers):
            return [(f"{path}.{index}", layer) for index, layer in enumerate(layers)]
    raise _unsupported(
        type(model).__name__, f"it has no list of layers at any of {', '.join(LAYER_LISTS)}"
    )


def _attention(
    layer_path: str, layer: nn.Module, names: AttentionNames, n_heads: int
) -> AttentionBlock | None:
    """The attention block of a layer, if a row of the table describes it."""
    projections = _projections(layer_path, layer, names.path, (*names.qkv, names.out))
    if projections is None:
        return None
    *qkv, out = projections
    d_head = out.n_in // n_heads
    pieces = sum(part.n_out for part in qkv) // d_head
    block = AttentionBlock(tuple(qkv), out, names.layout, n_heads, (pieces - n_heads) // 2)
    # Fused linear projections of this name come in several layouts, and only one is in the table.
    known = names.qkv != ("c_attn",) or out.transposed
    return block if known and block.fits() else None


def _mlp(layer_path: str, layer: nn.Module, names: MlpNames) -> MlpBlock | None:
    """The MLP of a layer, if a row of the table describes it."""
    projections = _projections(layer_path, layer, names.path, (*names.into, names.out))
    if projections is None:
        return None
    *into, out = projections
    block = MlpBlock(tuple(into), out)
    return block if block.fits() else None


def _projections(
    layer_path: str, layer: nn.Module, path: str, names: tuple[str, ...]
) -> list[Projection] | None:
    """The named parts of a block, or None if they are not there or not all that has parameters."""
    block = _part(layer, path)
    if block is None:
        return None
    inside = {name.partition(".")[0] for name, _ in block.named_parameters()}
    if not inside.issuperset(names) or (path and inside - {*names, *SHARED_NORMS}):
        return None
    where = f"{layer_path}.{path}" if path else layer_path
    parts = [Projection.of(f"{where}.{name}", block.get_submodule(name)) for name in names]
    projections = [part for part in parts if part is not None]
    return projections if len(projections) == len(parts) else None


def _part(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None


def _masks(spans: Iterable[Span]) -> dict[str, Tensor]:
    """Boolean masks by parameter name, true in every span."""
    masks: dict[str, Tensor] = {}
    for projection, side, places in spans:
        shape = (projection.n_out, projection.n_in)
        name = f"{projection.name}.weight"
        if name not in masks:
            stored = shape[::-1] if projection.transposed else shape
            masks[name] = torch.zeros(stored, dtype=torch.bool)
        rows = masks[name].T if projection.transposed else masks[name]
        if side == "column":
            rows[:, places] = True
            continue
        rows[places] = True
        if projection.bias:
            bias = f"{projection.name}.bias"
            masks.setdefault(bias, torch.zeros(projection.n_out, dtype=torch.bool))[places] = True
    return masks


def _shape(space: UnitSpace) -> str:
    return f"{space.n_layers} layers, {space.n_heads} heads and {space.d_mlp} neurons a layer"


def _unsupported(name: str, reason: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"cannot tell which weights of {name} belong to which unit: {reason}; supported are "
        f"{SUPPORTED}"
    )
