"""A model looked at before it is loaded, with settings that fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

from circuitviz.runs.config import DataType

if TYPE_CHECKING:
    from circuitviz.models.preflight import Preflight

__all__ = ["WHOLE_BATCH", "fitting", "look_at"]

# What a step of mask learning takes at once, and what is tried where that does not fit.
WHOLE_BATCH = 48
TRIED = ((False, 48), (True, 48), (True, 24), (True, 12), (True, 6), (True, 1))

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
    found = None
    for dtype in get_args(DataType):
        for checkpointing, rows in TRIED:
            found = check(rows=rows, checkpointing=checkpointing, dtype=dtype)
            if not found.supported or found.memory.total <= found.memory_available:
                return found
    assert found is not None
    return found


def look_at(name: str, adapter: str | None, **how: Any) -> Preflight:
    """What is known of a model without reading its weights; `how` as `preflight` takes it.

    Raises:
        CircuitvizError: There is no such model, or a setting is not usable.
    """
    # Late: what knows architectures imports torch.
    from circuitviz.models.preflight import preflight

    return preflight(name, adapter=adapter, **how)
