"""How much memory learning masks takes, from a model's configuration alone.

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

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

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

        def of(*names: str) -> int | None:
            found = [config[name] for name in names if isinstance(config.get(name), int)]
            return found[0] if found else None

        def required(*names: str) -> int:
            value = of(*names)
            if value is None:
                raise KeyError(names[0])
            return value

        d_model = required("hidden_size", "n_embd", "d_model")
        n_heads = required("num_attention_heads", "n_head", "num_heads")
        n_kv_heads = of("num_key_value_heads", "num_kv_heads") or n_heads
        d_head = of("head_dim") or d_model // n_heads
        d_mlp = of("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size") or 4 * d_model
        gated = config.get("model_type") not in WITHOUT_GATE
        n_layers, d_vocab = (
            required("num_hidden_layers", "n_layer", "num_layers"),
            required("vocab_size"),
        )
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


def estimate_memory(
    shape: ModelShape,
    *,
    rows: int,
    length: int,
    weight_bytes: int = 4,
    activation_bytes: int = 4,
    checkpointing: bool = False,
) -> MemoryEstimate:
    """What one step of mask learning needs at its peak.

    Args:
        shape: The model.
        rows: Prompts of one forward-backward pass.
        length: Tokens of each, answer included.
        weight_bytes: Bytes a weight.
        activation_bytes: Bytes an activation.
        checkpointing: Whether layers are computed again on the way back.
    """
    tokens, wide = rows * length, activation_bytes
    pattern = 4 + (wide if wide != 4 else 0)
    before = tokens * (
        4 * shape.d_model
        + 3 * wide * shape.n_heads * shape.d_head
        + shape.n_heads * length * pattern
    )
    after = tokens * (
        4 * shape.d_model
        + wide * shape.n_heads * shape.d_head
        + (4 if shape.gated else 3) * wide * shape.d_mlp
    )
    if checkpointing:
        activations = shape.n_layers * tokens * wide * shape.d_model + before + after
    else:
        activations = (shape.n_layers - 1) * before + shape.n_layers * after
    return MemoryEstimate(
        weights=shape.parameters * weight_bytes,
        activations=activations,
        logits=2 * tokens * shape.d_vocab * wide,
        # Scores, Adam's two averages, and per row the noise, ranks, soft and hard mask.
        gates=4 * shape.n_units * (4 + 8 * rows),
    )


# What a container may use, and what it does; the second counts files kept in memory as well.
LIMIT, USED, DETAILS = "memory.max", "memory.current", "memory.stat"
CGROUP = Path("/sys/fs/cgroup")


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
        limit, used = (int((group / name).read_text()) for name in (LIMIT, USED))
        details = dict(line.split() for line in (group / DETAILS).read_text().splitlines())
        return max(limit - used + int(details.get("inactive_file", 0)), 0)
    except (OSError, ValueError):
        # No container, or one without a limit, which is written as a word.
        return machine
