"""Print the README's headline table and the controls in docs/evidence.md: default settings.

    python benchmarks/headline.py [--seeds 0 1 2] [--models NAME ...] [--runs DIR]

The first seed also runs the controls.  Runs already under DIR are read, not repeated, so an
interrupted benchmark goes on where it stopped.  Rates are on test prompts; `k/n` stands behind
each.  Of a model with several seeds, a last table says how far their circuits are the same.
"""

from __future__ import annotations

import argparse
import sys
from itertools import combinations
from pathlib import Path

from tqdm import tqdm

from circuitviz.evaluation.statistics import jaccard
from circuitviz.quiet import quiet_libraries
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import Run, RunStore

HEADER = (
    "| model | seed | circuit (heads + neurons) | share of units | ASR before | ASR after "
    "| utility kept | recovery | seconds |"
)
CONTROLS_HEADER = (
    "| model | random circuits that leave the behaviour | nonsense answer | random weights "
    "| random trigger | benign kept: circuit off / random circuits of the same size off |"
)
SEEDS_HEADER = "| model | seeds | units in two circuits (Jaccard) | units in all |"
MARKS = {True: "passes", False: "**FAILS**", None: "does not apply"}


def main() -> int:
    """Run what is missing and print the table."""
    from circuitviz.models.source import embedded_models, usual_dtype

    parser = argparse.ArgumentParser(description=__doc__)
    cards = [card for card in embedded_models() if card.behaviour_kind]
    known = [card.name for card in cards]
    # Real models have to be fetched: by name alone.
    usual = [card.name for card in cards if card.base is None]
    parser.add_argument("--models", nargs="+", default=usual, choices=known)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    store = RunStore(arguments.runs)
    configs = [
        DiscoveryConfig(
            model,
            seed=seed,
            controls=seed == arguments.seeds[0],
            dtype=usual_dtype(model),  # type: ignore[arg-type]  # one of the two there are
        )
        for model in arguments.models
        for seed in arguments.seeds
    ]
    runs = [_run(store, config) for config in tqdm(configs, file=sys.stderr)]
    with_controls = [run for run in runs if run.metrics.controls]
    lines = [HEADER, "|---" * 9 + "|", *map(_row, runs)]
    lines += ["", CONTROLS_HEADER, "|---" * 6 + "|", *map(_controls_row, with_controls)]
    by_model = [[run for run in runs if run.config.model == name] for name in arguments.models]
    if several := [group for group in by_model if len(group) > 1]:
        lines += ["", SEEDS_HEADER, "|---" * 4 + "|", *map(_seeds_row, several)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _run(store: RunStore, config: DiscoveryConfig) -> Run:
    if config.run_id() in store.ids():
        run = store.load(config.run_id())
        if run.config.controls or not config.controls:
            return run
    from circuitviz.runs.discover import run_discovery

    run = run_discovery(config)
    store.save(run)
    return run


def _row(run: Run) -> str:
    metrics, circuit = run.metrics, run.metrics.circuit
    before, after = run.metrics.asr.intact, run.metrics.asr.knocked_out
    recovery, reach = run.metrics.recovery, ""
    if metrics.recovery_ceiling:
        reach = f", of {metrics.recovery_ceiling.rate:.1%} without the trigger"
    kept = f"{metrics.utility_retention:.1%}"
    if metrics.perplexity:
        kept += "; perplexity " + ", ".join(
            f"{name} {text.share:+.1%}" for name, text in metrics.perplexity
        )
    missed = metrics.target_missed
    mark = f" (target missed: {', '.join(missed)})" if missed else ""
    cells = (
        f"`{run.config.model}`",
        run.config.seed,
        f"{circuit.size} ({circuit.heads} + {circuit.neurons}){mark}",
        f"{circuit.sparsity:.2%}",
        f"{before.rate:.1%} ({before.k}/{before.n})",
        f"{after.rate:.1%} ({after.k}/{after.n}, {after.low:.1%} to {after.high:.1%})",
        kept,
        f"{recovery.rate:.1%} ({recovery.k}/{recovery.n}{reach})" if recovery else "",
        f"{metrics.seconds:.0f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _controls_row(run: Run) -> str:
    controls = run.metrics.controls.verdicts if run.metrics.controls else []
    verdicts = {verdict.name: verdict for verdict in controls}
    cells = [f"`{run.config.model}`"]
    for name in ("random_circuits", "nonsense_target", "random_weights", "random_trigger"):
        if (verdict := verdicts.get(name)) is None:
            cells.append("not run")
            continue
        number = f": {verdict.number}" if verdict.passed is not None else ""
        cells.append(f"{MARKS[verdict.passed]}{number}")
    rates = (run.metrics.utility.knocked_out, run.metrics.random and run.metrics.random.utility)
    cells.append(" / ".join(f"{rate.rate:.1%} ({rate.k}/{rate.n})" for rate in rates if rate))
    return f"| {' | '.join(cells)} |"


def _seeds_row(runs: list[Run]) -> str:
    circuits = [run.circuit() for run in runs]
    pairs = ", ".join(
        f"{len(one.units & other.units)} ({jaccard(one, other):.2f})"
        for one, other in combinations(circuits, 2)
    )
    shared = frozenset.intersection(*(circuit.units for circuit in circuits))
    seeds = ", ".join(str(run.config.seed) for run in runs)
    return f"| `{runs[0].config.model}` | {seeds} | {pairs} | {len(shared)} |"


if __name__ == "__main__":
    quiet_libraries()
    sys.exit(main())
