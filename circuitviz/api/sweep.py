"""Many discoveries at once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from circuitviz.api.run import store_in
from circuitviz.jobs.sweep import Sweep, check_sweep, chosen_pool, perform_sweep, read_sweep
from circuitviz.jobs.terminal import SweepTable
from circuitviz.quiet import stdout_discarded

if TYPE_CHECKING:
    from circuitviz.jobs.sweep import SweptRun


def sweep(
    source: str | Path | Mapping[str, Any],
    *,
    workers: int | None = None,
    ray: str | None = None,
    runs: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Carry out models x behaviours x methods x seeds x settings; what is saved is skipped.

        cv.sweep({"models": ["refusal"], "seeds": [0, 1, 2], "settings": [{"steps": 200}]})

    Each run is saved as it ends, and a failed one stops no other.

    Args:
        source: A YAML file, or what it would hold.
        workers: Processes on this machine; None is one a GPU, else one a core that there is
            memory for.
        ray: Address of a Ray cluster to use instead; models and data given as paths must lie there
            on every node.
        runs: Folder of runs; None is `$CIRCUITVIZ_RUNS`, else `runs/`.
        progress: Whether a table is drawn on standard error.

    Returns:
        One row a run: run_id, model, method, seed, state (`done`, `saved` before, or `failed`),
        seconds, size, asr (share in [0, 1], knocked out), error.

    Raises:
        CircuitvizError: Something in the sweep is unknown or not usable; nothing has started then.
    """
    found = Sweep.from_json(source) if isinstance(source, Mapping) else read_sweep(Path(source))
    pool = chosen_pool(found, workers, ray)
    check_sweep(found)

    def quietly(run: SweptRun) -> None:
        """Nobody looks."""

    with ExitStack() as stack:
        show = quietly
        if progress:
            run_ids = [config.run_id() for config in found.configs]
            show = stack.enter_context(SweepTable(run_ids)).show
        stack.enter_context(stdout_discarded())
        ended = perform_sweep(found, store_in(runs), pool, show)
    return pd.DataFrame([run.to_json() for run in ended])
