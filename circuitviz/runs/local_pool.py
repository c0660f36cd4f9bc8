"""Runs of a sweep on worker processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from types import FrameType, ModuleType
from typing import Any

from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.sweep_task import DISCOVER, Answer, PoolEvent, carry_out
from circuitviz.runs.worker import available_cores

SPAWN = multiprocessing.get_context("spawn")
# Which GPUs a process sees.
VISIBLE = "CUDA_VISIBLE_DEVICES"
# The least share of a run that is worth telling.
TELLING = 0.01
EXIT_TIMEOUT = 10.0  # seconds a process that closed its pipe may take to end
STOP_TIMEOUT = 3.0  # seconds one that was asked to end may take before it is killed


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
        shares = self.environments()[: len(configs)]
        idle = [_Worker(self._discover, share) for share in shares]
        busy: dict[Connection, tuple[_Worker, int]] = {}
        try:
            while waiting or busy:
                while idle and waiting:
                    place, config = waiting.popleft()
                    worker = idle.pop()
                    busy[worker.pipe] = (worker, place)
                    worker.start(config)
                    yield PoolEvent(place, fraction=0.0)
                for pipe in wait(list(busy)):
                    worker, place = busy[pipe]  # type: ignore[index]  # only pipes were given
                    said = worker.receive()
                    if isinstance(said, Answer):
                        del busy[worker.pipe]
                        idle.append(worker if worker.alive else worker.successor())
                        yield PoolEvent(place, answer=said)
                    else:
                        yield PoolEvent(place, fraction=said)
        finally:
            left = [*idle, *(worker for worker, _ in busy.values())]
            for worker in left:
                worker.ask_to_end()
            for worker in left:
                worker.stop()


class _Worker:
    """This end of one worker process."""

    def __init__(self, discover: str, environment: dict[str, str]) -> None:
        self._given = (discover, environment)
        self.pipe, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_serve, args=(theirs, *self._given), daemon=True)
        with _deaf_to_interrupts(), _no_main():
            self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        return not self.pipe.closed

    def successor(self) -> _Worker:
        """A new process in the place of this one."""
        return _Worker(*self._given)

    def start(self, config: DiscoveryConfig) -> None:
        # One that has died already is found out when its answer is read.
        with contextlib.suppress(BrokenPipeError):
            self.pipe.send(config.to_json())

    def receive(self) -> float | Answer:
        """The share done, or what became of the run; a dead process is an answer, too."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self._process.join(EXIT_TIMEOUT)
            self.stop()
            return Answer(error=self._cause_of_death())

    def ask_to_end(self) -> None:
        """Begin to end the process."""
        self.pipe.close()
        self._process.terminate()

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.ask_to_end()
        self._process.join(STOP_TIMEOUT)
        self._process.kill()
        self._process.join()

    def _cause_of_death(self) -> str:
        code = self._process.exitcode or 0
        known = -code in {int(one) for one in signal.Signals}
        how = f"was ended by {signal.Signals(-code).name}" if known else f"ended with code {code}"
        hint = " (often a lack of memory; try fewer --workers)" if how.endswith("SIGKILL") else ""
        return f"the worker process {how}{hint}"


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """Start a process that does not run the script which started this one again.

    A spawned process imports the main module first; nothing of ours needs it, and a script without
    the usual guard, or an app, would start over.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that start inside do not hear Ctrl-C: it is for this one, which ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(pipe: Connection, discover: str, environment: dict[str, str]) -> None:
    """The worker process: carry out what comes until the other end is gone."""
    # Before torch is imported.  More threads than cores slow all of them down.
    os.environ.update(environment)
    signal.signal(signal.SIGTERM, _end)
    _discard_output()
    told = 0.0

    def tell(share: float) -> None:
        nonlocal told
        if share - told >= TELLING:
            told = share
            pipe.send(share)

    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            config: dict[str, Any] = pipe.recv()
            told = 0.0
            pipe.send(carry_out(config, discover, tell))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _end(number: int, frame: FrameType | None) -> None:
    """An ordinary exit, which gives back what libraries hold of the system, undisturbed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


def _discard_output() -> None:
    """What libraries print would tear the table apart."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
