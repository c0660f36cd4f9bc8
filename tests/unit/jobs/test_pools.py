"""How many runs go at once, on machines of hand-made sizes."""

from __future__ import annotations

import pytest
import torch

from circuitviz.jobs import pool as module
from circuitviz.jobs.pool import PROCESS_BYTES, gpu_count, usual_workers, worker_count
from circuitviz.models import memory
from circuitviz.models.memory import AvailableMemory
from circuitviz.models.preflight import preflight
from circuitviz.runs.config import DiscoveryConfig

GIB = 2**30


@pytest.mark.parametrize(
    ("cores", "gpus", "memory", "needed", "expected"),
    [
        (8, 0, 1000 * GIB, GIB, 8),
        (8, 0, 3 * (GIB + PROCESS_BYTES), GIB, 3),
        (8, 0, 3 * (GIB + PROCESS_BYTES) - 1, GIB, 2),
        (8, 0, 0, GIB, 1),
        (8, 2, 0, 70 * GIB, 2),
        (16, 1, 1000 * GIB, GIB, 1),
        (2, 8, 1000 * GIB, GIB, 2),
    ],
)
def test_cores_gpus_and_memory_each_set_a_limit(cores, gpus, memory, needed, expected):
    assert worker_count(cores, gpus, memory, needed) == expected


@pytest.mark.parametrize(
    ("devices", "here", "expected"),
    [
        (["auto"], 0, 0),
        (["auto", "cpu"], 4, 4),
        (["cuda"], 4, 4),
        (["cpu"], 4, 0),
        (["auto", "balanced"], 4, 1),
        (["cuda:1"], 4, 1),
    ],
)
def test_gpus_are_shared_out_unless_a_run_names_its_own(monkeypatch, devices, here, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: here)
    assert gpu_count([DiscoveryConfig("any", device=device) for device in devices]) == expected


def test_the_largest_run_of_a_sweep_counts(monkeypatch):
    small = DiscoveryConfig("refusal", micro_batch=1, checkpointing=True)
    large = DiscoveryConfig("refusal")
    needed = preflight("refusal").memory.total + PROCESS_BYTES
    monkeypatch.setattr(module, "available_cores", lambda: 64)
    monkeypatch.setattr(module, "gpu_count", lambda configs: 0)
    monkeypatch.setattr(memory, "available_memory", lambda: AvailableMemory(5 * needed))
    assert usual_workers([small, large]) == 5
    assert usual_workers([small]) > 5
