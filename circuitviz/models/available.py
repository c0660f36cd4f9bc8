"""The memory that is free here, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

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
