"""A model looked at before it is loaded, with settings that fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from circuitviz.models.advice import Settings, smaller

if TYPE_CHECKING:
    from circuitviz.models.preflight import Preflight

__all__ = ["WHOLE_BATCH", "fitting", "look_at"]

# What a step of mask learning takes at once.
WHOLE_BATCH = 48

Check = Callable[..., "Preflight"]


def fitting(check: Check) -> Preflight:
    """The model looked at with the first settings whose memory is there.

    Layers are computed again before fewer prompts are taken at once, and weights are halved last:
    only that changes numbers.  Where nothing fits, the least there is.

    Args:
        check: Looks at the model with `rows`, `checkpointing` and `dtype`.

    Raises:
        CircuitvizError: It cannot be looked at.
    """
    usual = Settings(rows=WHOLE_BATCH, length=1, dtype="float32", checkpointing=False)
    found = _checked(check, usual)
    for less in smaller(usual):
        if not found.supported or found.memory.total <= found.memory_available:
            break
        found = _checked(check, less)
    return found


def _checked(check: Check, how: Settings) -> Preflight:
    return check(rows=how.rows, checkpointing=how.checkpointing, dtype=how.dtype)


def look_at(name: str, adapter: str | None, **how: Any) -> Preflight:
    """What is known of a model without reading its weights; `how` as `preflight` takes it.

    Raises:
        CircuitvizError: There is no such model, or a setting is not usable.
    """
    # Late: what knows architectures imports torch.
    from circuitviz.models.preflight import preflight

    return preflight(name, adapter=adapter, **how)
