"""Models being fetched in the background, watched and stopped by whoever asks."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from circuitviz.errors import CircuitvizError, JobCancelledError
from circuitviz.models.fetch import FetchStage, fetch

# Fetches a model by name, and tells how far it is.
Fetch = Callable[[str, FetchStage], Path]


@dataclass(frozen=True)
class FetchState:
    """Where the fetch of one model stands.

    Attributes:
        stage: What is done at the moment.
        share: Of the whole that is done, in [0, 1].
        active: Whether it is still at work.
        stopping: Whether it was asked to stop.
        error: Why it failed, in one line; "" where it did not.
    """

    stage: str = "starting"
    share: float = 0.0
    active: bool = True
    stopping: bool = False
    error: str = ""


class Fetcher:
    """The fetches of this process, each in a thread of its own.

    Args:
        work: What fetches.
    """

    def __init__(self, work: Fetch = fetch) -> None:
        self._work = work
        self._changing = threading.Lock()
        self._states: dict[str, FetchState] = {}
        self._threads: dict[str, threading.Thread] = {}
        atexit.register(self.close)

    def state(self, name: str) -> FetchState | None:
        """Where the latest fetch of a model stands; None where nobody asked for one."""
        return self._states.get(name)

    def start(self, name: str) -> None:
        """Fetch a model; a second call finds the fetch of the first at work."""
        with self._changing:
            before = self._states.get(name)
            if before is not None and before.active:
                return
            self._states[name] = FetchState()
            thread = threading.Thread(target=self._fetch, args=(name,), name=name, daemon=True)
            self._threads[name] = thread
            thread.start()

    def stop(self, name: str) -> None:
        """Ask a fetch to stop, which it does within a second; nothing of it stays behind."""
        with self._changing:
            state = self._states.get(name)
            if state is not None and state.active:
                self._states[name] = replace(state, stopping=True)

    def wait(self, name: str) -> FetchState | None:
        """Where a fetch stands once it has ended."""
        thread = self._threads.get(name)
        if thread is not None:
            thread.join()
        return self.state(name)

    def close(self) -> None:
        """Stop all of them, and wait for their ends."""
        for name in tuple(self._threads):
            self.stop(name)
            self.wait(name)
        atexit.unregister(self.close)

    def _fetch(self, name: str) -> None:
        def report(stage: str, share: float) -> None:
            with self._changing:
                if self._states[name].stopping:
                    raise JobCancelledError
                self._states[name] = replace(self._states[name], stage=stage, share=share)

        error = ""
        try:
            self._work(name, report)
        except JobCancelledError:
            pass
        except (CircuitvizError, OSError) as failure:
            error = " ".join(str(failure).split())
        finally:
            # Also after a mistake of ours: whoever watches must not wait for ever.
            with self._changing:
                ended = replace(self._states[name], active=False, error=error)
                self._states[name] = ended
