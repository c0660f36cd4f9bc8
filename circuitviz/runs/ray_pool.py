"""Runs of a sweep on a Ray cluster: scheduling, retries and placement are Ray's."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from circuitviz.errors import ConfigError
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.sweep import RayOptions
from circuitviz.runs.sweep_task import DISCOVER, Answer, PoolEvent, carry_out
from circuitviz.runs.worker import one_line

# Seconds between two looks at a cluster that says nothing: Ctrl-C is heard in between.
LOOK = 1.0
CONNECT_TIMEOUT = 10.0  # seconds


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


class RayPool:
    """One remote task a run, on a cluster that runs already.

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
            places = {
                task.options(**options, name=config.run_id()).remote(
                    config.to_json(), self._discover
                ): place
                for place, config in enumerate(configs)
            }
            try:
                yield from (PoolEvent(place) for place in places.values())
                while places:
                    ready, _ = ray.wait(list(places), timeout=LOOK)
                    for done in ready:
                        answer = _answer(ray, done)
                        yield PoolEvent(places.pop(done), answer=answer)
            finally:
                for unfinished in places:
                    ray.cancel(unfinished, force=True)


def _answer(ray: Any, done: Any) -> Answer:
    try:
        return ray.get(done)
    except ray.exceptions.RayError as error:
        return Answer(error=one_line(f"Ray gave up on it: {str(error).strip() or repr(error)}"))


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """A connection to the cluster; one that exists already is used, and stays.

    Raises:
        ConfigError: Nobody answers there, or the connection that exists is to another cluster.
    """
    if ray.is_initialized():
        _require_same(ray, address)
        yield
        return
    try:
        _knock(address)
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


def _require_same(ray: Any, address: str) -> None:
    there = ray.get_runtime_context().gcs_address
    if address not in ("auto", there):
        raise ConfigError(
            f"Ray is connected to the cluster at {there!r} already, and the sweep is to go to "
            f"{address!r}; call ray.shutdown() first, or give auto to use that connection"
        )


def _knock(address: str) -> None:
    """Fail at once where nobody listens: Ray itself goes on trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT).close()
