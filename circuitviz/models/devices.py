"""Where a model runs and in which numbers."""

from __future__ import annotations

import torch

from circuitviz.errors import ConfigError

__all__ = ["BALANCED", "data_type", "placement"]

# Spread the layers over all GPUs.
BALANCED = "balanced"


def placement(device: str) -> dict[str, str]:
    """What a loader is told, `device` or `device_map`, for a device named by a user.

    Args:
        device: `auto` takes the first GPU, where there is one, and else the CPU; `balanced` spreads
            the layers over all GPUs; anything else is torch's own name of a device.

    Raises:
        ConfigError: There is no such device here.
    """
    gpus = torch.cuda.device_count()
    if device == "auto":
        return {"device": "cuda" if gpus else "cpu"}
    if device == BALANCED:
        if not gpus:
            raise ConfigError(
                "device balanced spreads a model over GPUs, and none is here; use cpu"
            )
        return {"device_map": BALANCED}
    try:
        wanted = torch.device(device)
        torch.empty(0, device=wanted)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        here = ", ".join(["cpu", *(f"cuda:{index}" for index in range(gpus))])
        raise ConfigError(
            f"device must be auto, balanced or one of {here} on this machine; got {device!r}"
        ) from error
    return {"device": str(wanted)}


def data_type(name: str) -> torch.dtype:
    """torch's dtype of `float32` or `bfloat16`.

    Raises:
        ConfigError: It is neither.
    """
    legal = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if name not in legal:
        raise ConfigError(f"dtype must be one of {', '.join(legal)}; got {name!r}")
    return legal[name]
