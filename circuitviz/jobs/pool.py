"""Where the runs of a sweep are carried out: worker processes of this machine, or a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import Any, Protocol

from circuitviz.errors import ConfigError
from circuitviz.jobs.process import DISCOVER, WorkerProcess
from circuitviz.jobs.worker import WorkerAnswer, available_cores, carry_out, one_line
from circuitviz.runs.config import DiscoveryConfig

MAX_WORKERS = 1024
ROWS = 48  # prompts of a step of mask learning
PROCESS_BYTES = 2**29  # what a process takes besides its model: Python and its libraries
VISIBLE = "CUDA_VISIBLE_DEVICES"  # which GPUs a process sees
# Seconds between two looks at a cluster that says nothing: Ctrl-C is heard in between.
_POLL_SECONDS = 1.0
CONNECT_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True)
class PoolEvent:
    """Something that happened to one run.

    Attributes:
        index: Which one of those given.
        fraction: Share of it that is done, in [0, 1]; None where it was handed over and the pool
            does not know whether it has begun.
        answer: What became of it, once it has ended.
    """

    index: int
    fraction: float | None = None
    answer: WorkerAnswer | None = None


class Pool(Protocol):
    """Where runs are carried out."""

    def events(self, configs: Sequence[DiscoveryConfig]) -> Iterator[PoolEvent]:
        """Carry out all of them and tell what happens; every one ends with an answer."""
        ...


class LocalPool:
    """Worker processes that take one run at a time, and share out cores and GPUs.

    Args:
        workers: How many processes.
        gpus: GPUs that they share out, each seeing one; below 2 nothing is shared out.
        discover: What each run is, as `module:function`.
    """

    def __init__(self, workers: int, discover: str = DISCOVER, *, gpus: int = 0) -> None:
        self.workers = workers
        self.gpus = gpus
        self._discover = discover

    def environments(self) -> list[dict[str, str]]:
        """What each process is told before it imports torch: its threads, and its GPU."""
        threads = {"OMP_NUM_THREADS": str(max(1, available_cores() // self.workers))}
        if self.gpus < 2:
            return [threads] * self.workers
        named = os.environ.get(VISIBLE, "").split(",")
        names = named if named != [""] else [str(gpu) for gpu in range(self.gpus)]
        return [{**threads, VISIBLE: names[worker % self.gpus]} for worker in range(self.workers)]

    def events(self, configs: Sequence[DiscoveryConfig]) -> Iterator[PoolEvent]:
        """Carry out all of them; a run whose process dies has failed, and the others go on.

        The processes end with the iterator, however it ends.
        """
        waiting = deque(enumerate(configs))
        events: queue.SimpleQueue[PoolEvent | BaseException] = queue.SimpleQueue()
        processes: list[WorkerProcess] = []

        def serve(environment: dict[str, str]) -> None:
            """One thread for each process, which listens to it."""
            worker = None
            try:
                while waiting:
                    if worker is None or not worker.alive:
                        worker = WorkerProcess(self._discover, environment=environment)
                        processes.append(worker)
                    try:
                        index, config = waiting.popleft()
                    except IndexError:
                        # Another thread was quicker, or the sweep is being stopped.
                        return
                    events.put(PoolEvent(index, fraction=0.0))
                    for event in self._carried_out(worker, index, config):
                        events.put(event)
            except BaseException as error:  # for the caller's thread to raise
                events.put(error)

        shares = self.environments()[: len(configs)]
        threads = [threading.Thread(target=serve, args=(share,), daemon=True) for share in shares]
        left = len(configs)
        try:
            for thread in threads:
                thread.start()
            while left:
                event = events.get()
                if isinstance(event, BaseException):
                    raise event
                left -= event.answer is not None
                yield event
        finally:
            waiting.clear()
            for process in processes:
                process.stop()
            for thread in threads:
                thread.join()
            for process in processes:
                process.stop()
                process.discard()

    @staticmethod
    def _carried_out(
        worker: WorkerProcess, index: int, config: DiscoveryConfig
    ) -> Iterator[PoolEvent]:
        """The events of one run; the death of its process is an answer, too."""
        for event in worker.events({"config": config.to_json()}):
            if "answer" in event:
                yield PoolEvent(index, answer=WorkerAnswer.from_json(event["answer"]))
                return
            if "fraction" in event:
                yield PoolEvent(index, fraction=event["fraction"])
        cause = worker.cause_of_death()
        advice = "; try fewer --workers" if "memory" in cause else ""
        yield PoolEvent(index, answer=WorkerAnswer(error=f"{cause}{advice}"))


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
    different = {tuple(getattr(config, name) for name in of_memory): config for config in configs}
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
    return max(1, min(cores, gpus or memory // (needed + PROCESS_BYTES)))


def gpu_count(configs: Sequence[DiscoveryConfig]) -> int:
    """GPUs to share out among runs; 1 where a run names its own or takes all, 0 on the CPU."""
    import torch

    devices = {config.device for config in configs}
    here = torch.cuda.device_count()
    if not here or devices <= {"cpu"}:
        return 0
    return here if devices <= {"auto", "cpu", "cuda"} else 1


@dataclass(frozen=True)
class RayOptions:
    """What Ray is told about each run.

    Attributes:
        num_cpus: Cores it takes.
        num_gpus: GPUs it takes; a part of one where several runs share it.
        max_retries: How often Ray starts it again after a node or a process has died.
    """

    num_cpus: float = 1
    num_gpus: float = 0
    max_retries: int = 3

    def __post_init__(self) -> None:
        for name in ("num_cpus", "num_gpus"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value < inf:
                raise ConfigError(f"ray: {name} must be a number of at least 0; got {value!r}")
        if type(self.max_retries) is not int or self.max_retries < 0:
            raise ConfigError(
                f"ray: max_retries must be a whole number of at least 0; got {self.max_retries!r}"
            )


class RayPool:
    """One remote task a run, on a cluster that runs already: scheduling and retries are Ray's.

    Args:
        address: The cluster's, as `ray.init` takes it: `auto`, `host:port` or `ray://host:port`.
        options: What Ray is told about each run.
        discover: What each run is, as `module:function`; importable on every node.

    Models and data that are given as paths must lie there on every node.
    """

    def __init__(
        self, address: str, options: RayOptions | None = None, discover: str = DISCOVER
    ) -> None:
        self.address = address
        self.options = options or RayOptions()
        self._discover = discover

    def events(self, configs: Sequence[DiscoveryConfig]) -> Iterator[PoolEvent]:
        """Carry out all of them; what Ray gives up on has failed, and the others go on.

        Nothing of it runs on when the iterator ends, however it ends.

        Raises:
            ConfigError: There is no Ray, or no cluster at the address.
        """
        ray = require_ray()
        with _connected(ray, self.address):
            task, options = ray.remote(carry_out), asdict(self.options)
            indices = {
                task.options(**options, name=config.run_id()).remote(
                    config.to_json(), self._discover
                ): index
                for index, config in enumerate(configs)
            }
            try:
                yield from (PoolEvent(index) for index in indices.values())
                while indices:
                    ready, _ = ray.wait(list(indices), timeout=_POLL_SECONDS)
                    for done in ready:
                        answer = _answer(ray, done)
                        yield PoolEvent(indices.pop(done), answer=answer)
            finally:
                for unfinished in indices:
                    ray.cancel(unfinished, force=True)


def require_ray() -> Any:
    """The library Ray.

    Raises:
        ConfigError: It is not installed.
    """
    # Nothing about the user is sent to anybody; a value the user has set stays.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "a sweep on a cluster needs Ray, which is not installed; install circuitviz[ray], or "
            "leave --ray out to use processes of this machine"
        ) from error
    return ray


def _answer(ray: Any, done: Any) -> WorkerAnswer:
    try:
        return ray.get(done)
    except ray.exceptions.RayError as error:
        return WorkerAnswer(
            error=one_line(f"Ray gave up on it: {str(error).strip() or repr(error)}")
        )


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """A connection to the cluster; one that exists already is used, and stays.

    Raises:
        ConfigError: No cluster answers there, or the connection that exists is to another one.
    """
    if ray.is_initialized():
        there = ray.get_runtime_context().gcs_address
        if address not in ("auto", there):
            raise ConfigError(
                f"Ray is connected to the cluster at {there!r} already, and the sweep is to go to "
                f"{address!r}; call ray.shutdown() first, or give auto to use that connection"
            )
        yield
        return
    try:
        _require_reachable(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"no Ray cluster answers at {address!r}: {one_line(str(error))}; start one with "
            "`ray start --head`, or leave --ray out"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_reachable(address: str) -> None:
    """Fail at once where no server listens: Ray itself goes on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT).close()
