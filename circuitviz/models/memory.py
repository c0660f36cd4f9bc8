"""How much memory learning masks takes, from a model's configuration alone, and how much is free.

Weights are frozen and there is one copy of them; no weight has a gradient.  What grows with the
batch is what automatic differentiation keeps for the way back, by token and layer:

    8 d_model                           both norms, computed in fp32
    4 a n_heads d_head                  queries, keys, values (spread over query heads) and z
    n_heads length (4 + a)              the attention pattern, computed in fp32 and rounded
    4 a d_mlp, or 3 a d_mlp             gate, act(gate), up and neurons; or without a gate

with a bytes an activation (in fp32 the pattern is kept once).  In the first layer nothing before
its own heads is kept: no gate comes earlier.  Logits and their gradient come on
top.  With layers computed again on the way back, the input of each layer is kept and everything
above for one layer at a time (Chen et al., arXiv:1604.06174).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from circuitviz.errors import ConfigError

BYTES = {"float32": 4, "bfloat16": 2}
# From so many weights on, a step of learning on a CPU takes minutes rather than seconds.
SLOW_ON_CPU = 1_000_000_000
CGROUP = Path("/sys/fs/cgroup")
# Architectures with a single up projection, no gate, by `model_type`.
WITHOUT_GATE = frozenset(
    "bloom codegen falcon gpt2 gpt_bigcode gpt_neo gpt_neox gptj mpt nemotron opt persimmon phi "
    "starcoder2 xglm".split()
)


@dataclass(frozen=True)
class ModelShape:
    """The sizes that memory depends on.

    Attributes:
        n_layers: Layers.
        d_model: Width of the residual stream.
        n_heads: Query heads of a layer.
        n_kv_heads: Key and value heads of a layer.
        d_head: Width of a head.
        d_mlp: Neurons of a layer.
        gated: Whether a neuron is act(gate) * up.
        d_vocab: Tokens of the vocabulary.
        parameters: Weights in all.
    """

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_mlp: int
    gated: bool
    d_vocab: int
    parameters: int

    @classmethod
    def of_config(cls, config: Mapping[str, Any], *, parameters: int | None = None) -> ModelShape:
        """From a checkpoint's config.json.

        Args:
            config: Its content; of a model that also sees or hears, its text part.
            parameters: The number of weights, where it is known; else it is worked out.

        Raises:
            KeyError: The configuration does not say how many layers, heads or dimensions it has.
        """

        def of(*names: str, default: int | None = None) -> int:
            numbers = (config[name] for name in names if isinstance(config.get(name), int))
            value = next(numbers, 0) or default
            if value is None:
                raise KeyError(names[0])
            return value

        d_model = of("hidden_size", "n_embd", "d_model")
        n_heads = of("num_attention_heads", "n_head", "num_heads")
        n_kv_heads = of("num_key_value_heads", "num_kv_heads", default=n_heads)
        d_head = of("head_dim", default=d_model // n_heads)
        d_mlp = of(
            "intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", default=4 * d_model
        )
        n_layers, d_vocab = (of("num_hidden_layers", "n_layer", "num_layers"), of("vocab_size"))
        gated = config.get("model_type") not in WITHOUT_GATE
        if parameters is None:
            layer = d_model * ((2 * n_heads + 2 * n_kv_heads) * d_head + (2 + gated) * d_mlp)
            tables = 1 if config.get("tie_word_embeddings", True) else 2
            parameters = n_layers * layer + tables * d_vocab * d_model
        return cls(
            n_layers, d_model, n_heads, n_kv_heads, d_head, d_mlp, gated, d_vocab, parameters
        )

    @property
    def n_units(self) -> int:
        """Heads and neurons of all layers."""
        return self.n_layers * (self.n_heads + self.d_mlp)


@dataclass(frozen=True, kw_only=True)
class MemorySettings:
    """How masks are to be learned.

    Attributes:
        rows: Prompts of one forward-backward pass.
        length: Tokens of a prompt and its answer.
        dtype: Of weights and activations.
        checkpointing: Whether layers are computed again on the way back.
    """

    rows: int
    length: int
    dtype: str = "float32"
    checkpointing: bool = False

    def __post_init__(self) -> None:
        for name, value in (("rows", self.rows), ("length", self.length)):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1; got {value}")
        if self.dtype not in BYTES:
            raise ConfigError(f"dtype must be one of {', '.join(BYTES)}; got {self.dtype!r}")

    def smaller(self) -> Iterator[MemorySettings]:
        """Ever less memory: layers computed again, fewer rows at once, and last other numbers.

        Only the last changes results.
        """
        for dtype in dict.fromkeys((self.dtype, "bfloat16")):
            rows = self.rows
            while rows:
                yield replace(self, dtype=dtype, checkpointing=True, rows=rows)
                rows //= 2

    def changed_to(self, other: MemorySettings) -> str:
        """The options that turn these settings into others, as the command takes them."""
        changes = ["--checkpointing"] if other.checkpointing and not self.checkpointing else []
        changes += [f"--micro-batch {other.rows}"] if other.rows != self.rows else []
        changes += [f"--dtype {other.dtype}"] if other.dtype != self.dtype else []
        return " ".join(changes) or "these settings"


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes, by what takes them.

    Attributes:
        weights: The model.
        activations: What is kept of all layers for the way back.
        logits: Logits and their gradient.
        gates: Masks, their gradients and the scores' optimiser.
    """

    weights: int
    activations: int
    logits: int
    gates: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.activations + self.logits + self.gates

    def to_json(self) -> dict[str, int]:
        """Every part and the total."""
        return {**asdict(self), "total": self.total}


def estimate_memory(shape: ModelShape, settings: MemorySettings) -> MemoryEstimate:
    """What one step of mask learning needs at its peak."""
    tokens, wide = settings.rows * settings.length, BYTES[settings.dtype]
    pattern = 4 + (wide if wide != 4 else 0)
    before = tokens * (
        4 * shape.d_model
        + 3 * wide * shape.n_heads * shape.d_head
        + shape.n_heads * settings.length * pattern
    )
    after = tokens * (
        4 * shape.d_model
        + wide * shape.n_heads * shape.d_head
        + (4 if shape.gated else 3) * wide * shape.d_mlp
    )
    if settings.checkpointing:
        activations = shape.n_layers * tokens * wide * shape.d_model + before + after
    else:
        activations = (shape.n_layers - 1) * before + shape.n_layers * after
    return MemoryEstimate(
        weights=shape.parameters * wide,
        activations=activations,
        logits=2 * tokens * shape.d_vocab * wide,
        # Scores, Adam's two averages, and per row the noise, ranks, soft and hard mask.
        gates=4 * shape.n_units * (4 + 8 * settings.rows),
    )


def size_text(size: int) -> str:
    """1610612736 -> `1.5 GiB`."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power:
            return f"{size / 1024**power:,.1f} {unit}"
    return f"{size} bytes"


@dataclass(frozen=True)
class AvailableMemory:
    """Free bytes.

    Attributes:
        cpu: Of the machine, or of the container this runs in.
        gpus: Of each GPU.
    """

    cpu: int
    gpus: tuple[int, ...] = ()

    def device(self, needed: int) -> tuple[str, int]:
        """The device to take for so many bytes, and what is free there.

        One GPU if it is enough or the only one, all of them if not, and without one the CPU.
        """
        if not self.gpus:
            return "cpu", self.cpu
        if needed <= self.gpus[0] or len(self.gpus) == 1:
            return "cuda", self.gpus[0]
        return "balanced", sum(self.gpus)


def available_memory() -> AvailableMemory:
    """Look what is free now."""
    # Late: torch takes seconds to import.
    import torch

    gpus = tuple(torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count()))
    machine = psutil.virtual_memory().available
    return AvailableMemory(min(machine, container_memory(machine)), gpus)


def container_memory(machine: int, group: Path = CGROUP) -> int:
    """Bytes that the container this runs in may still take; all of the machine's without one."""
    try:
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        details = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        # No container, or one without a limit, which is written as a word.
        return machine
    # What is used counts files kept in memory as well, which are given back when needed.
    return max(limit - used + int(details.get("inactive_file", 0)), 0)


def memory_warning(
    shape: ModelShape, settings: MemorySettings, available: AvailableMemory
) -> tuple[str, ...]:
    """Say that learning needs more memory than there is; empty if it fits."""
    needed = estimate_memory(shape, settings).total
    device, free = available.device(needed)
    if needed <= free:
        return ()
    return (
        f"learning from {settings.rows} x {settings.length} tokens needs "
        f"{size_text(needed)} and {size_text(free)} are free on {device}",
    )


def advice(
    shape: ModelShape, stored_dtype: str, settings: MemorySettings, available: AvailableMemory
) -> tuple[str, ...]:
    """What to do about memory, dtype and device; empty if nothing needs doing."""
    texts = (
        _fitting(shape, settings, available),
        _numbers(shape, stored_dtype, settings, available),
        _device(shape, settings, available),
    )
    return tuple(text for text in texts if text)


def _fitting(shape: ModelShape, settings: MemorySettings, available: AvailableMemory) -> str | None:
    """The first settings that fit where those asked for do not."""
    if not memory_warning(shape, settings, available):
        return None
    least = settings
    for least in settings.smaller():
        if not memory_warning(shape, least, available):
            return f"it fits with {settings.changed_to(least)}: {_total(shape, least)}"
    return (
        f"not even {settings.changed_to(least)} make it fit ({_total(shape, least)}): free memory, "
        "use a machine with more, or choose a smaller model"
    )


def _numbers(
    shape: ModelShape, stored: str, settings: MemorySettings, available: AvailableMemory
) -> str | None:
    full, half = replace(settings, dtype="float32"), replace(settings, dtype="bfloat16")
    if settings == half:
        if available.gpus or memory_warning(shape, full, available):
            return None
        return (
            f"float32 fits as well ({_total(shape, full)}), and CPUs are often slower in bfloat16"
        )
    if not available.gpus or stored not in ("bfloat16", "float16"):
        return None
    return (
        f"weights are stored in {stored}: --dtype bfloat16 needs {_total(shape, half)} instead "
        f"of {_total(shape, settings)}, and is faster on a GPU"
    )


def _device(shape: ModelShape, settings: MemorySettings, available: AvailableMemory) -> str | None:
    device, _ = available.device(estimate_memory(shape, settings).total)
    if device == "balanced":
        return (
            f"one GPU is not enough: --device balanced spreads the layers over all "
            f"{len(available.gpus)}"
        )
    if device == "cpu" and shape.parameters >= SLOW_ON_CPU:
        return (
            f"no GPU is here, and {shape.parameters / 1e9:.1f} billion weights are slow on a CPU: "
            "try a few steps first, or run where a GPU is"
        )
    return None


def _total(shape: ModelShape, settings: MemorySettings) -> str:
    return size_text(estimate_memory(shape, settings).total)
