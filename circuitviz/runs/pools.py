"""What carries out the runs of a sweep: a cluster, or as many processes as there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from circuitviz.errors import ConfigError
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.worker import available_cores

if TYPE_CHECKING:
    from circuitviz.runs.sweep import Sweep
    from circuitviz.runs.sweep_run import Pool

ROWS = 48  # prompts of a step of mask learning
# What a process takes besides its model: Python and its libraries.
PROCESS_BYTES = 2**29


def chosen_pool(sweep: Sweep, workers: int | None, address: str | None) -> Pool:
    """The cluster at an address, or processes of this machine.

    Raises:
        ConfigError: The number of processes is not usable, or Ray is not installed.
    """
    if address is not None:
        from circuitviz.runs.ray_pool import RayPool, require_ray

        require_ray()
        return RayPool(address, sweep.ray)
    from circuitviz.runs.local_pool import LocalPool

    if workers is not None and not 1 <= workers <= 1024:
        raise ConfigError(f"--workers must be between 1 and 1024; got {workers}")
    return LocalPool(workers or usual_workers(sweep.configs), gpus=gpu_count(sweep.configs))


def usual_workers(configs: Sequence[DiscoveryConfig]) -> int:
    """As many as there are cores, and memory or GPUs for.

    Raises:
        CircuitvizError: One of the models cannot be looked at.
    """
    # Late: these import torch.
    from circuitviz.models.memory import available_memory
    from circuitviz.models.preflight import preflight

    def needed(config: DiscoveryConfig) -> int:
        rows = min(config.micro_batch or ROWS, ROWS)
        how = {"rows": rows, "dtype": config.dtype, "checkpointing": config.checkpointing}
        return preflight(config.model, adapter=config.adapter, **how).memory.total

    of_memory = ("model", "adapter", "micro_batch", "dtype", "checkpointing")
    different = {tuple(getattr(one, name) for name in of_memory): one for one in configs}
    return worker_count(
        available_cores(),
        gpu_count(configs),
        available_memory().cpu,
        max(map(needed, different.values()), default=0),
    )


def worker_count(cores: int, gpus: int, memory: int, needed: int) -> int:
    """At least one, at most one a core, and one a GPU or what there is memory for.

    Args:
        cores: Cores of this machine.
        gpus: GPUs that runs take one of each; 0 where they run on the CPU.
        memory: Free bytes.
        needed: Bytes the largest run needs.
    """
    places = gpus or memory // (needed + PROCESS_BYTES)
    return max(1, min(cores, places))


def gpu_count(configs: Sequence[DiscoveryConfig]) -> int:
    """GPUs to share out among runs; 1 where a run names its own or takes all, 0 on the CPU."""
    import torch

    devices = {config.device for config in configs}
    here = torch.cuda.device_count()
    if not here or devices <= {"cpu"}:
        return 0
    return here if devices <= {"auto", "cpu", "cuda"} else 1
