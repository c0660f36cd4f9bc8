"""The units a circuit is made of, and circuits themselves.

A unit is an attention head (`hook_z[..., head, :]`, before W_O) or an MLP neuron
(`hook_post[..., neuron]`, the input of the down projection).  Every unit also has a flat
index: all heads first, layer by layer, then all neurons, layer by layer.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from circuitviz.errors import ConfigError

UnitKind = Literal["head", "neuron"]

# What a circuit may be made of: any units, units of one kind, or whole attention and MLP blocks.
Granularity = Literal["both", "heads", "neurons", "layers"]

UNIT_NAME = re.compile(r"L(\d+)([HN])(\d+)")
KIND_LETTERS: dict[UnitKind, str] = {"head": "H", "neuron": "N"}
LETTER_KINDS: dict[str, UnitKind] = {"H": "head", "N": "neuron"}


@dataclass(frozen=True, order=True)
class Unit:
    """One attention head or MLP neuron, written `L5H3` or `L5N1201`."""

    kind: UnitKind
    layer: int
    index: int

    def __post_init__(self) -> None:
        if self.kind not in get_args(UnitKind):
            raise ConfigError(f"unit kind must be head or neuron; got {self.kind!r}")
        if self.layer < 0 or self.index < 0:
            raise ConfigError(
                f"unit layer and index must be >= 0; got {self.layer} and {self.index}"
            )

    def __str__(self) -> str:
        return f"L{self.layer}{KIND_LETTERS[self.kind]}{self.index}"

    @classmethod
    def parse(cls, name: str) -> Unit:
        """Read `L5H3` or `L5N1201`.

        Raises:
            ConfigError: The name has another form.
        """
        match = UNIT_NAME.fullmatch(name.strip())
        if match is None:
            raise ConfigError(f"a unit is written L5H3 or L5N1201; got {name!r}")
        layer, letter, index = match.groups()
        return cls(LETTER_KINDS[letter], int(layer), int(index))


@dataclass(frozen=True)
class UnitSpace:
    """All units of one model: its shape, and the order of the flat index."""

    n_layers: int
    n_heads: int
    d_mlp: int

    def __post_init__(self) -> None:
        for name in ("n_layers", "n_heads", "d_mlp"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be >= 1; got {getattr(self, name)}")

    @property
    def total_heads(self) -> int:
        """Number of attention heads in the model."""
        return self.n_layers * self.n_heads

    @property
    def total_neurons(self) -> int:
        """Number of MLP neurons in the model."""
        return self.n_layers * self.d_mlp

    def __len__(self) -> int:
        return self.total_heads + self.total_neurons

    def __iter__(self) -> Iterator[Unit]:
        return (self.unit(index) for index in range(len(self)))

    def __contains__(self, unit: object) -> bool:
        return (
            isinstance(unit, Unit)
            and unit.layer < self.n_layers
            and unit.index < self._width(unit.kind)
        )

    def unit(self, flat: int) -> Unit:
        """The unit at a flat index in [0, len(self))."""
        if not 0 <= flat < len(self):
            raise IndexError(f"flat unit index {flat} is outside [0, {len(self)})")
        if flat < self.total_heads:
            return Unit("head", *divmod(flat, self.n_heads))
        return Unit("neuron", *divmod(flat - self.total_heads, self.d_mlp))

    def flat(self, unit: Unit) -> int:
        """The flat index of a unit.

        Raises:
            ConfigError: The model has no such unit.
        """
        if unit not in self:
            raise ConfigError(
                f"no unit {unit} in a model of {self.n_layers} layers, "
                f"{self.n_heads} heads and {self.d_mlp} neurons a layer"
            )
        offset = 0 if unit.kind == "head" else self.total_heads
        return offset + unit.layer * self._width(unit.kind) + unit.index

    def split(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cut [..., units] into [..., n_layers, n_heads] and [..., n_layers, d_mlp]."""
        lead = flat.shape[:-1]
        heads = flat[..., : self.total_heads].reshape(*lead, self.n_layers, self.n_heads)
        neurons = flat[..., self.total_heads :].reshape(*lead, self.n_layers, self.d_mlp)
        return heads, neurons

    def join(self, heads: np.ndarray, neurons: np.ndarray) -> np.ndarray:
        """The inverse of `split`."""
        lead = heads.shape[:-2]
        return np.concatenate([heads.reshape(*lead, -1), neurons.reshape(*lead, -1)], axis=-1)

    def _width(self, kind: UnitKind) -> int:
        return self.n_heads if kind == "head" else self.d_mlp


def groups(space: UnitSpace, granularity: Granularity) -> np.ndarray:
    """The group [units] each unit belongs to, in flat order; -1 where it may be in no circuit.

    A circuit holds a group as a whole or not at all.  Groups are numbered from 0 in flat order:
    single units, or with `layers` the attention blocks of all layers and then their MLP blocks.

    Raises:
        ConfigError: The granularity has another name.
    """
    heads, neurons = np.arange(space.total_heads), np.arange(space.total_neurons)
    match granularity:
        case "both":
            return np.arange(len(space))
        case "heads":
            return np.concatenate([heads, np.full_like(neurons, -1)])
        case "neurons":
            return np.concatenate([np.full_like(heads, -1), neurons])
        case "layers":
            return np.concatenate([heads // space.n_heads, space.n_layers + neurons // space.d_mlp])
    legal = ", ".join(get_args(Granularity))
    raise ConfigError(f"granularity must be one of {legal}; got {granularity!r}")


@dataclass(frozen=True)
class Circuit:
    """A set of units of one model.

    `knock_out(C)` ablates these units; `isolate(C)` ablates all the others.
    """

    space: UnitSpace
    units: frozenset[Unit]

    def __post_init__(self) -> None:
        for unit in self.units:
            self.space.flat(unit)

    @classmethod
    def of(cls, space: UnitSpace, units: Iterable[Unit | str]) -> Circuit:
        """Build from units or their names."""
        parsed = (Unit.parse(unit) if isinstance(unit, str) else unit for unit in units)
        return cls(space, frozenset(parsed))

    @classmethod
    def everything(cls, space: UnitSpace) -> Circuit:
        """All units of the model."""
        return cls(space, frozenset(space))

    def __len__(self) -> int:
        return len(self.units)

    def __iter__(self) -> Iterator[Unit]:
        return iter(sorted(self.units))

    def __contains__(self, unit: object) -> bool:
        return unit in self.units

    @property
    def heads(self) -> tuple[Unit, ...]:
        """The heads of the circuit, in order."""
        return tuple(unit for unit in self if unit.kind == "head")

    @property
    def neurons(self) -> tuple[Unit, ...]:
        """The neurons of the circuit, in order."""
        return tuple(unit for unit in self if unit.kind == "neuron")

    @property
    def sparsity(self) -> float:
        """|C| / all units, in [0, 1]; small is sparse, as the paper counts it."""
        return len(self) / len(self.space)

    @property
    def sparsity_heads(self) -> float:
        """Heads in the circuit / all heads, in [0, 1]."""
        return len(self.heads) / self.space.total_heads

    @property
    def sparsity_neurons(self) -> float:
        """Neurons in the circuit / all neurons, in [0, 1]."""
        return len(self.neurons) / self.space.total_neurons

    @property
    def complement(self) -> Circuit:
        """All units that are not in this circuit."""
        return Circuit(self.space, frozenset(self.space) - self.units)

    def toggled(self, unit: Unit) -> Circuit:
        """This circuit with the unit added if absent, removed if present."""
        return Circuit(self.space, self.units ^ {unit})

    def mask(self) -> np.ndarray:
        """Boolean [units] in flat order, true for units in the circuit."""
        mask = np.zeros(len(self.space), dtype=bool)
        mask[[self.space.flat(unit) for unit in self.units]] = True
        return mask


@dataclass(frozen=True, eq=False)
class Ranking:
    """All units in order of their scores; every size in `cuts` cuts a circuit off the top.

    Attributes:
        space: The units.
        scores: [units] in flat order; higher is more responsible for the behaviour.
        granularity: What a circuit may be made of.
    """

    space: UnitSpace
    scores: np.ndarray
    granularity: Granularity = "both"

    def __post_init__(self) -> None:
        if self.scores.shape != (len(self.space),):
            raise ConfigError(f"scores must be [{len(self.space)}]; got {list(self.scores.shape)}")
        groups(self.space, self.granularity)

    @cached_property
    def eligible(self) -> np.ndarray:
        """Boolean [units]: which may be in a circuit; the others' scores mean nothing."""
        return groups(self.space, self.granularity) >= 0

    @cached_property
    def order(self) -> np.ndarray:
        """Flat indices [units] from the highest score to the lowest; ties keep flat order.

        Units that may be in no circuit come last.  With `layers`, blocks are ordered by the mean
        score of their units, so that each stays in one piece.
        """
        group = groups(self.space, self.granularity)
        values = -self.scores
        if self.granularity == "layers":
            values = (np.bincount(group, weights=values) / np.bincount(group))[group]
        # By the last key first; stable.
        return np.lexsort((values, group < 0))

    @cached_property
    def cuts(self) -> list[int]:
        """Sizes at which a circuit may be cut off the top, ascending, from 0."""
        group = groups(self.space, self.granularity)[self.order]
        group = group[group >= 0]
        ends = np.flatnonzero(np.diff(group, append=-1)) + 1
        return [0, *ends.tolist()]

    def best(self, size: int) -> Circuit:
        """The `size` best units; a size of `cuts` keeps to the granularity."""
        return self._circuit(self.order[:size])

    def best_of_each(self, heads: int, neurons: int) -> Circuit:
        """The `heads` best heads and the `neurons` best neurons."""
        is_head = self.order < self.space.total_heads
        best = (self.order[is_head][:heads], self.order[~is_head][:neurons])
        return self._circuit(np.concatenate(best))

    def _circuit(self, flat: np.ndarray) -> Circuit:
        return Circuit(self.space, frozenset(self.space.unit(int(index)) for index in flat))


def random_matched(circuit: Circuit, generator: np.random.Generator) -> Circuit:
    """As many random *other* units of each kind in each layer as the circuit has there.

    Units of the circuit itself are drawn only where a layer has too few others.
    """
    chosen: list[Unit] = []
    groups: dict[tuple[str, int], list[Unit]] = defaultdict(list)
    for unit in circuit.space:
        groups[unit.kind, unit.layer].append(unit)
    for units in groups.values():
        count = sum(unit in circuit for unit in units)
        order = [units[int(index)] for index in generator.permutation(len(units))]
        # Stable: others first, in random order.
        chosen += sorted(order, key=lambda unit: unit in circuit)[:count]
    return Circuit(circuit.space, frozenset(chosen))
