"""Print the tables in docs/tuning.md: protecting refusal, removing backdoors, restoring it.

    python benchmarks/tuning.py [--seeds 0 1 2] [--modes protect repair] [--models NAME ...]
                                [--runs DIR]

Circuits come from the runs that ship with the project.  A circuit that misses its run's target is
grown to the best units of the run's ranking.  Finished tunings are read from DIR, not repeated, and
unfinished ones go on after their last whole epoch.  Two tunings run at a time, each on one core.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from circuitviz.evaluation.rate import Rate
from circuitviz.files import EMBEDDED_RUNS
from circuitviz.quiet import quiet_libraries
from circuitviz.runs.config import TuningConfig
from circuitviz.runs.store import Run, RunStore
from circuitviz.runs.tuning_store import Tuning, TuningStore

CORES = 2
# Protected as the run reports it, and larger; and how far a circuit that misses is grown.
PROTECTED_SIZES, GROWN_SIZE = (None, 80, 128), 64
ARMS = {"full": "everything", "circuit": "circuit", "random": "random circuit"}
REPAIR_ARMS = {**ARMS, "knock-out": "knock-out, no training"}
PROTECT_HEADER = (
    "| protected | seed | refused before | refused after | answered after | new answers right "
    "| ordinary prompts right | trained | seconds |"
)
REPAIR_HEADER = (
    "| model | circuit | trained | seed | attacks that succeed: before, after "
    "| exactly right after | ordinary prompts kept | share of parameters | seconds |"
)

RESTORE_HEADER = (
    "| trained | seed | refused: intact, worn away, restored | exactly right after "
    "| ordinary prompts kept: worn away, restored | share of parameters | seconds |"
)


def main() -> int:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    shipped = RunStore(EMBEDDED_RUNS)
    runs = {
        run.config.model: run
        for run in map(shipped.load, sorted(shipped.ids()))
        if run.config.seed == 0
    }
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--modes", nargs="+", default=["protect", "repair"])
    parser.add_argument("--models", nargs="+", default=list(runs), choices=list(runs))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    chosen = [runs[name] for name in options.models]
    configs = [
        config
        for mode in options.modes
        for run in chosen
        for config in _configs(mode, run, options.seeds)
    ]
    found = _tunings(configs, options.runs)
    protect = [tuning for tuning in found if tuning.config.mode == "protect"]
    repairs = [tuning for tuning in found if tuning.config.mode == "repair"]
    restore = [t for t in repairs if t.metrics.is_refusal]
    repair = [t for t in repairs if t.metrics.behaviour_kind == "backdoor"]
    lines = [PROTECT_HEADER, _rule(PROTECT_HEADER)]
    lines += [_protect_row(tuning, arm) for tuning in protect for arm in ARMS]
    lines += ["", REPAIR_HEADER, _rule(REPAIR_HEADER)]
    lines += [
        _repair_row(tuning, arm) for tuning in repair for arm in REPAIR_ARMS if arm in tuning.arms
    ]
    lines += ["", RESTORE_HEADER, _rule(RESTORE_HEADER)]
    lines += [_restore_row(tuning, arm) for tuning in restore for arm in ARMS]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _configs(mode: str, run: Run, seeds: list[int]) -> Iterator[TuningConfig]:
    refusal = run.metrics.is_refusal
    if mode == "protect":
        sizes = PROTECTED_SIZES if refusal else ()
        for size in sizes:
            yield from (TuningConfig(run.run_id, "protect", size=size, seed=s) for s in seeds)
        return
    size = None if run.metrics.target_reached else GROWN_SIZE
    yield from (TuningConfig(run.run_id, "repair", size=size, seed=seed) for seed in seeds)


def _tunings(configs: list[TuningConfig], runs: Path) -> list[Tuning]:
    store = TuningStore(runs)
    missing = [config for config in configs if config.tuning_id() not in store.ids()]
    # Each process trains with one thread: two of them use two cores better than one with two.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(CORES, mp_context=context, initializer=_start) as pool:
        jobs = [pool.submit(_run, config, runs) for config in missing]
        for job in tqdm(jobs, file=sys.stderr, disable=not jobs):
            job.result()
    return [store.load(config.tuning_id()) for config in configs]


def _start() -> None:
    import torch

    quiet_libraries()
    torch.set_num_threads(1)


def _run(config: TuningConfig, runs: Path) -> None:
    from circuitviz.runs.tune import run_tuning

    store = TuningStore(runs)
    run = RunStore(EMBEDDED_RUNS).load(config.run)
    store.save(run_tuning(config, run=run, kept=store.kept(config)))


def _protect_row(tuning: Tuning, arm: str) -> str:
    values = tuning.metrics.arms[arm]
    protected = "nothing" if arm == "full" else f"{ARMS[arm]} of {tuning.size}"
    cells = (
        protected,
        tuning.config.seed,
        _counted(tuning.metrics.before.safety),
        _counted(tuning.metrics.arms[arm].safety, interval=True),
        _counted(tuning.metrics.arms[arm].asr),
        _counted(tuning.metrics.arms[arm].helpfulness),
        _counted(tuning.metrics.arms[arm].utility),
        f"{values.parameters_trained_share:.1%}",
        f"{values.seconds:.0f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _repair_row(tuning: Tuning, arm: str) -> str:
    values = tuning.metrics.arms[arm]
    cells = (
        f"`{tuning.metrics.model}`",
        f"{tuning.size} units",
        REPAIR_ARMS[arm],
        tuning.config.seed,
        f"{_counted(tuning.metrics.before.asr)}, {_counted(values.asr, interval=True)}",
        _counted(tuning.metrics.arms[arm].exact),
        f"{values.utility_kept:.1%}",
        f"{values.parameters_trained_share:.1%}",
        f"{values.seconds:.0f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _restore_row(tuning: Tuning, arm: str) -> str:
    values, worn = tuning.metrics.arms[arm], tuning.metrics.before
    refused = [state.safety for state in (tuning.metrics.intact, worn, values)]
    cells = (
        ARMS[arm] if arm == "full" else f"{ARMS[arm]} of {tuning.size}",
        tuning.config.seed,
        ", ".join(_counted(rate) for rate in refused),
        _counted(tuning.metrics.arms[arm].exact),
        f"{worn.utility_kept:.1%}, {values.utility_kept:.1%}",
        f"{values.parameters_trained_share:.1%}",
        f"{values.seconds:.0f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _counted(rate: Rate, *, interval: bool = False) -> str:
    more = f", {rate.low:.1%} to {rate.high:.1%}" if interval else ""
    return f"{rate.rate:.1%} ({rate.k}/{rate.n}{more})"


def _rule(header: str) -> str:
    return "|---" * (header.count("|") - 1) + "|"


if __name__ == "__main__":
    quiet_libraries()
    sys.exit(main())
