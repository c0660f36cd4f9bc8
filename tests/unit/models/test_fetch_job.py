"""Fetches in the background: one at a time, watched, stopped, and ended whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from circuitviz.errors import ModelNotFoundError
from circuitviz.models.fetch import Fetcher, FetchStage, FetchState

PATIENCE = 20.0


class Work:
    """A fetch that gets half-way, and on when it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.half_way, self.go_on = threading.Event(), threading.Event()
        self.failure: Exception | None = None

    def __call__(self, name: str, report: FetchStage) -> Path:
        self.calls += 1
        report("downloading", 0.5)
        self.half_way.set()
        self.go_on.wait(PATIENCE)
        if self.failure is not None:
            raise self.failure
        report("done", 1.0)
        return Path(name)


@pytest.fixture
def work() -> Work:
    """What is done."""
    return Work()


@pytest.fixture
def fetcher(work: Work) -> Iterator[Fetcher]:
    """Does it in the background."""
    fetcher = Fetcher(work)
    yield fetcher
    work.go_on.set()
    fetcher.close()


def test_nothing_is_fetched_unasked(fetcher, work):
    assert fetcher.state("smollm2") is None
    assert work.calls == 0


def test_a_fetch_is_watched_and_ends(fetcher, work):
    fetcher.start("smollm2")
    work.half_way.wait(PATIENCE)
    assert fetcher.state("smollm2") == FetchState("downloading", 0.5)
    work.go_on.set()
    assert fetcher.wait("smollm2") == FetchState("done", 1.0, active=False)


def test_who_asks_second_watches_the_first(fetcher, work):
    fetcher.start("smollm2")
    work.half_way.wait(PATIENCE)
    fetcher.start("smollm2")
    work.go_on.set()
    fetcher.wait("smollm2")
    assert work.calls == 1


def test_a_fetch_is_stopped_and_can_be_asked_for_again(fetcher, work):
    fetcher.start("smollm2")
    work.half_way.wait(PATIENCE)
    fetcher.stop("smollm2")
    assert fetcher.state("smollm2") == FetchState("downloading", 0.5, stopping=True)
    work.go_on.set()
    ended = FetchState("downloading", 0.5, active=False, stopping=True)
    assert fetcher.wait("smollm2") == ended
    # There is nothing left to stop.
    fetcher.stop("smollm2")
    assert fetcher.state("smollm2") == ended
    fetcher.start("smollm2")
    assert fetcher.wait("smollm2") == FetchState("done", 1.0, active=False)


@pytest.mark.parametrize("kind", [ModelNotFoundError, OSError])
def test_a_failure_is_told_in_one_line(fetcher, work, kind):
    work.failure = kind("cannot fetch it;\n try again")
    work.go_on.set()
    fetcher.start("smollm2")
    assert fetcher.wait("smollm2") == FetchState(
        "downloading", 0.5, active=False, error="cannot fetch it; try again"
    )


def test_closing_stops_what_is_at_work(fetcher, work):
    fetcher.start("smollm2")
    work.half_way.wait(PATIENCE)
    threading.Timer(0.01, work.go_on.set).start()
    fetcher.close()
    state = fetcher.state("smollm2")
    assert state is not None
    assert state.stopping
    assert not state.active
