"""Carrying a sweep out: what is saved already is skipped, what ends is saved at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from circuitviz.errors import CircuitvizError
from circuitviz.models.source import find_source
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.resolve import behaviour_of, changed_since
from circuitviz.runs.store import Run, RunStore
from circuitviz.runs.sweep import Sweep
from circuitviz.runs.sweep_task import Answer, PoolEvent, unpack_run

SweptState = Literal["waiting", "submitted", "running", "done", "saved", "failed"]


@dataclass(frozen=True)
class SweptRun:
    """Where one run of a sweep stands.

    Attributes:
        config: What it is.
        state: `saved`: it was there before.  `submitted`: a cluster has it, which does not tell
            whether it has begun.  `done`: this sweep has saved it.
        fraction: Share of it that is done, in [0, 1]; None where nobody can tell.
        seconds: How long it took; None before it has ended.
        size: Units of its circuit; None before it has ended.
        asr: ASR on test prompts with the circuit knocked out, a share; None before.
        error: Why it failed, in one line.
    """

    config: DiscoveryConfig
    state: SweptState = "waiting"
    fraction: float | None = None
    seconds: float | None = None
    size: int | None = None
    asr: float | None = None
    error: str = ""

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do about it."""
        return self.state in ("done", "saved", "failed")

    def to_json(self) -> dict[str, Any]:
        """`{run_id, model, method, seed, state, seconds, size, asr, error}`."""
        return {
            "run_id": self.config.run_id(),
            "model": self.config.model,
            "method": self.config.method,
            "seed": self.config.seed,
            "state": self.state,
            "seconds": None if self.seconds is None else round(self.seconds, 2),
            "size": self.size,
            "asr": self.asr,
            "error": self.error or None,
        }


class Pool(Protocol):
    """Where runs are carried out."""

    def events(self, configs: Sequence[DiscoveryConfig]) -> Iterator[PoolEvent]:
        """Carry out all of them and tell what happens; every one ends with an answer."""
        ...


def check_sweep(sweep: Sweep) -> None:
    """Make sure that every model and behaviour of a sweep is there.

    Raises:
        CircuitvizError: One is not, or cannot be used.
    """
    checked: set[tuple[str | None, ...]] = set()
    for config in sweep.configs:
        what = (config.model, config.adapter, config.behaviour, config.prompts)
        if what not in checked:
            checked.add(what)
            find_source(config.model, config.adapter)
            behaviour_of(config)


def perform_sweep(
    sweep: Sweep,
    store: RunStore,
    pool: Pool,
    report: Callable[[SweptRun], None] = lambda run: None,
) -> list[SweptRun]:
    """Carry out the runs of a sweep that are not saved yet, and save each as it ends.

    A run that fails is told and stops no other.

    Args:
        sweep: What to do.
        store: Where runs are looked up and saved.
        pool: Where they are carried out.
        report: Told whenever one of them stands elsewhere; may raise to stop the sweep.
    """
    runs = [_looked_up(config, store) for config in sweep.configs]
    for run in runs:
        if run.ended:
            report(run)
    todo = [place for place, run in enumerate(runs) if not run.ended]
    if not todo:
        return runs
    with closing(_closable(pool, [runs[place].config for place in todo])) as events:
        for event in events:
            place = todo[event.place]
            runs[place] = _moved(runs[place], event, store)
            report(runs[place])
    return runs


def _closable(pool: Pool, configs: list[DiscoveryConfig]) -> Any:
    # A generator of its own: closing it ends the pool's, whatever that is.
    yield from pool.events(configs)


def _looked_up(config: DiscoveryConfig, store: RunStore) -> SweptRun:
    try:
        run = store.load(config.run_id())
    except CircuitvizError:
        # None yet, or a damaged one: it is made again.
        return SweptRun(config)
    if (config.controls and not run.config.controls) or changed_since(run):
        return SweptRun(config)
    return _ended(SweptRun(config), "saved", run, run.metrics.seconds)


def _moved(run: SweptRun, event: PoolEvent, store: RunStore) -> SweptRun:
    if event.answer is None:
        state = "submitted" if event.fraction is None else "running"
        return replace(run, state=state, fraction=event.fraction)
    answer: Answer = event.answer
    if answer.error:
        return replace(run, state="failed", seconds=answer.seconds, error=answer.error)
    try:
        found = unpack_run(run.config.run_id(), answer.files)
    except CircuitvizError as error:
        return replace(run, state="failed", seconds=answer.seconds, error=str(error))
    store.save(found)
    return _ended(run, "done", found, answer.seconds)


def _ended(run: SweptRun, state: SweptState, found: Run, seconds: float | None) -> SweptRun:
    asr = found.metrics.asr.knocked_out.rate
    return replace(run, state=state, fraction=1.0, seconds=seconds, size=found.size, asr=asr)
