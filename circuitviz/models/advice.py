"""What to set so that learning fits into memory and runs well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from circuitviz.models.available import AvailableMemory
from circuitviz.models.memory import MemoryEstimate, ModelShape, estimate_memory

__all__ = [
    "Settings",
    "advice",
    "length_warning",
    "memory_of",
    "memory_warning",
    "size_text",
    "smaller",
]

BYTES = {"float32": 4, "bfloat16": 2}
# From so many weights on, a step of learning on a CPU takes minutes rather than seconds.
SLOW_ON_CPU = 1_000_000_000


@dataclass(frozen=True)
class Settings:
    """How masks are to be learned.

    Attributes:
        rows: Prompts of one forward-backward pass.
        length: Tokens of a prompt and its answer.
        dtype: Of weights and activations.
        checkpointing: Whether layers are computed again on the way back.
    """

    rows: int
    length: int
    dtype: str
    checkpointing: bool


def memory_of(shape: ModelShape, settings: Settings) -> MemoryEstimate:
    """What one step needs at its peak."""
    wide = BYTES[settings.dtype]
    return estimate_memory(
        shape,
        rows=settings.rows,
        length=settings.length,
        weight_bytes=wide,
        activation_bytes=wide,
        checkpointing=settings.checkpointing,
    )


def memory_warning(
    shape: ModelShape, settings: Settings, available: AvailableMemory
) -> tuple[str, ...]:
    """Say that learning needs more memory than there is; empty if it fits."""
    needed = memory_of(shape, settings).total
    device, free = available.device(needed)
    if needed <= free:
        return ()
    return (
        f"learning from {settings.rows} x {settings.length} tokens needs "
        f"{size_text(needed)} and {size_text(free)} are free on {device}",
    )


def length_warning(length: int, max_length: int | None) -> tuple[str, ...]:
    """Say that prompts are longer than the model was made for; empty if they are not."""
    if max_length is None or length <= max_length:
        return ()
    return (
        f"{length} tokens are more than the {max_length} the model was made for; use prompts and "
        f"answers of at most {max_length} tokens",
    )


def advice(
    shape: ModelShape, stored_dtype: str, settings: Settings, available: AvailableMemory
) -> tuple[str, ...]:
    """What to do about memory, dtype and device; empty if nothing needs doing."""
    found = (
        _fitting(shape, settings, available),
        _numbers(shape, stored_dtype, settings, available),
        _device(shape, settings, available),
    )
    return tuple(text for text in found if text)


def size_text(size: int) -> str:
    """1610612736 -> `1.5 GiB`."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power:
            return f"{size / 1024**power:,.1f} {unit}"
    return f"{size} bytes"


def _fitting(shape: ModelShape, settings: Settings, available: AvailableMemory) -> str | None:
    """The first settings that fit where those asked for do not."""
    if not memory_warning(shape, settings, available):
        return None
    least = settings
    for least in smaller(settings):
        if not memory_warning(shape, least, available):
            return f"it fits with {_changes(settings, least)}: {_total(shape, least)}"
    return (
        f"not even {_changes(settings, least)} make it fit ({_total(shape, least)}): free memory, "
        "use a machine with more, or choose a smaller model"
    )


def smaller(settings: Settings) -> Iterator[Settings]:
    """Ever less memory: layers computed again, fewer rows at once, and last other numbers.

    Only the last changes results.
    """
    for dtype in dict.fromkeys((settings.dtype, "bfloat16")):
        rows = settings.rows
        while rows:
            yield replace(settings, dtype=dtype, checkpointing=True, rows=rows)
            rows //= 2


def _changes(asked: Settings, other: Settings) -> str:
    changes = []
    if other.checkpointing and not asked.checkpointing:
        changes.append("--checkpointing")
    if other.rows != asked.rows:
        changes.append(f"--micro-batch {other.rows}")
    if other.dtype != asked.dtype:
        changes.append(f"--dtype {other.dtype}")
    return " ".join(changes) or "these settings"


def _numbers(
    shape: ModelShape, stored: str, settings: Settings, available: AvailableMemory
) -> str | None:
    halved = replace(settings, dtype="bfloat16")
    if settings.dtype == "bfloat16":
        full = replace(settings, dtype="float32")
        if available.gpus or memory_warning(shape, full, available):
            return None
        return (
            f"float32 fits as well ({_total(shape, full)}), and CPUs are often slower in bfloat16"
        )
    if not available.gpus or stored not in ("bfloat16", "float16"):
        return None
    return (
        f"weights are stored in {stored}: --dtype bfloat16 needs {_total(shape, halved)} instead "
        f"of {_total(shape, settings)}, and is faster on a GPU"
    )


def _device(shape: ModelShape, settings: Settings, available: AvailableMemory) -> str | None:
    device, _ = available.device(memory_of(shape, settings).total)
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


def _total(shape: ModelShape, settings: Settings) -> str:
    return size_text(memory_of(shape, settings).total)
