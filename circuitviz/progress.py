"""How long work reports how far it is."""

from __future__ import annotations

from collections.abc import Callable

# Called with the share of the work that is done, in [0, 1], before each batch; may raise to stop.
OnProgress = Callable[[float], None]


def unwatched(progress: object) -> None:
    """The callback of work that reports to no one."""


def span(on_progress: OnProgress, start: float, end: float) -> OnProgress:
    """The callback of a part of the work, which lies between two shares of the whole."""
    return lambda share: on_progress(start + (end - start) * share)
