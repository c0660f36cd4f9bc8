"""How far work is, on standard error: a bar for one discovery, a table for many."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from tqdm import tqdm

from circuitviz.runs.progress import Progress

if TYPE_CHECKING:
    from circuitviz.jobs.sweep import SweptRun


class Bar:
    """A progress bar on standard error, drawn once there is progress."""

    def __init__(self) -> None:
        self._bar: tqdm[NoReturn] | None = None
        self._stage = ""

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, progress: Progress) -> None:
        """Move the bar."""
        if self._bar is None:
            if progress.fraction <= 0 and not progress.detail:
                return
            self._bar = tqdm(
                desc=progress.stage,
                total=1.0,
                initial=progress.resumed,
                # The time left by the mean pace: stages differ too much for that of a moment.
                smoothing=0,
                file=sys.stderr,
                bar_format="{desc:<8} {percentage:3.0f} % |{bar}| {elapsed}<{remaining}{postfix}",
            )
        losses = {name: f"{loss:.3f}" for name, loss in progress.losses.items()}
        self._bar.set_description_str(progress.stage, refresh=False)
        if progress.arm:
            losses = {"arm": progress.arm, **losses}
        if progress.detail:
            self._bar.set_postfix_str(progress.detail, refresh=False)
        else:
            self._bar.set_postfix(losses, refresh=False)
        self._bar.update(progress.fraction - self._bar.n)
        if progress.stage != self._stage:
            # Even a stage that is over in no time is seen.
            self._stage = progress.stage
            self._bar.refresh()


class SweepTable:
    """A line for every run that has ended, and below them how many are at work or submitted.

    On standard error.

    Args:
        run_ids: All runs of the sweep.
    """

    def __init__(self, run_ids: Sequence[str]) -> None:
        self._width = max(map(len, run_ids), default=0)
        # None: handed over, and nobody can tell whether it has begun.
        self._running: dict[str, float | None] = {}
        self._bar: tqdm[NoReturn] = tqdm(
            total=len(run_ids),
            file=sys.stderr,
            unit="run",
            bar_format="{n_fmt} of {total_fmt} runs |{bar}| {elapsed}{postfix}",
        )

    def __enter__(self) -> SweepTable:
        self._write("RUN", "STATE", "SECONDS", "UNITS", "ASR")
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def show(self, run: SweptRun) -> None:
        """Say where a run stands."""
        run_id = run.config.run_id()
        if not run.ended:
            self._running[run_id] = run.fraction
        else:
            self._running.pop(run_id, None)
            seconds = "-" if run.seconds is None else f"{run.seconds:.1f}"
            size = "-" if run.size is None else str(run.size)
            asr = "-" if run.asr is None else f"{run.asr:.1%}"
            self._write(run_id, run.state, seconds, size, asr, run.error)
            self._bar.update()
        self._bar.set_postfix_str(self._now(), refresh=False)
        self._bar.refresh()

    def _now(self) -> str:
        shares = [share for share in self._running.values() if share is not None]
        submitted = len(self._running) - len(shares)
        if submitted:
            return f"{submitted} submitted"
        at = " ".join(f"{share:.0%}" for share in shares[:8])
        return f"{len(shares)} at work {at}".rstrip()

    def _write(self, run: str, *values: str) -> None:
        state, seconds, size, asr, *error = values
        line = f"{run:<{self._width}}  {state:<7} {seconds:>8} {size:>6} {asr:>7}  {''.join(error)}"
        self._bar.write(line.rstrip(), file=sys.stderr)
