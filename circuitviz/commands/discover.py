"""Finding circuits: one discovery, or many that a file lists."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from circuitviz.commands.backend import Backend
from circuitviz.commands.data import add_data_options, chosen_behaviour
from circuitviz.commands.options import (
    JSON,
    RUNS,
    Reply,
    command,
    either,
    given,
    group,
    option,
    require_writable,
    setting,
    store_of,
)
from circuitviz.commands.output import (
    missed_target,
    run_summary,
    say_on_stderr,
)
from circuitviz.discovery.methods import METHODS
from circuitviz.files import full_path
from circuitviz.models.source import lasting_name, usual_dtype
from circuitviz.quiet import stdout_discarded
from circuitviz.runs.config import MODEL, STEPWISE, DiscoveryConfig

MISSED, FAILED = 2, 1
# What `--json` prints of a run's metrics, as far as it has them; the rest is for the app.
_JSON_KEYS = """
    run_id model behaviour behaviour_kind seconds n_units n_heads n_neurons circuit asr
    utility recovery utility_retention kl target target_reached frontier
    method granularity prompts_dropped screening open perplexity recovery_ceiling verdicts
    proxy alternatives target_missed refinement truth frontier_area statistics controls
    criteria stochastic ablations judges seconds_with_controls
""".split()


@command(
    "discover",
    "find the circuit behind a model's behaviour",
    option("model", metavar="MODEL", help=MODEL),
    group(
        "what to look for",
        setting(DiscoveryConfig, "prompts", "FILE", type=full_path),
        option("--data", metavar="FILE", help="your own prompts: .json, .jsonl, .csv or .parquet"),
        add_data_options,
        setting(DiscoveryConfig, "target_asr", "SHARE"),
        setting(DiscoveryConfig, "target_utility", "SHARE"),
        setting(DiscoveryConfig, "granularity"),
        setting(DiscoveryConfig, "budget"),
    ),
    group(
        "how to learn",
        setting(DiscoveryConfig, "method", choices=tuple(METHODS)),
        setting(DiscoveryConfig, "seed", "S"),
        setting(DiscoveryConfig, "ablation"),
        setting(DiscoveryConfig, "steps", "N", default=None),
        setting(DiscoveryConfig, "l1_weight", "W"),
        setting(DiscoveryConfig, "max_new_tokens", "N"),
        setting(
            DiscoveryConfig,
            "refine",
            help="keep units that the chosen circuit can do without",
        ),
    ),
    group(
        "how to run",
        setting(DiscoveryConfig, "adapter", "DIR", type=full_path),
        setting(DiscoveryConfig, "device", "NAME"),
        setting(DiscoveryConfig, "dtype", default=None),
        setting(DiscoveryConfig, "micro_batch", "N"),
        setting(DiscoveryConfig, "checkpointing"),
    ),
    group("what to save", setting(DiscoveryConfig, "controls"), RUNS, JSON),
)
def discover_command(options: argparse.Namespace, backend: Backend) -> Reply:
    """Find a circuit and save its run."""
    from circuitviz.jobs.terminal import Bar

    store = store_of(options)
    require_writable(store.folder)
    if options.steps is not None and options.method not in STEPWISE:
        say_on_stderr(
            f"--steps has no effect with the method {options.method}, which learns no masks; it is "
            f"for {', '.join(STEPWISE)}"
        )
    found_elsewhere = {
        "model": lasting_name(options.model),
        "dtype": options.dtype or usual_dtype(options.model),
        "behaviour": chosen_behaviour(options, store.folder),
    }
    config = DiscoveryConfig(**given(DiscoveryConfig, options) | found_elsewhere)
    with Bar() as bar, stdout_discarded():
        run = backend.discover(config, bar.show)
        folder = store.save(run)
    metrics = run.metrics.to_json()
    result = {key: metrics[key] for key in _JSON_KEYS if key in metrics}
    if run.metrics.target_reached:
        return Reply(result, run_summary(run, folder))
    # A target the user chose is input that cannot be met; the behaviour's own is a finding.
    usual = DiscoveryConfig.target_utility
    chosen = config.target_asr is not None or config.target_utility != usual
    code = MISSED if chosen else 0
    return Reply(result, run_summary(run, folder), (missed_target(run),), code)


@command(
    "sweep",
    "carry out the discoveries that a file lists, and go on later",
    option(
        "file",
        metavar="FILE",
        help="YAML with models, behaviours, methods, seeds and settings, e.g. models: "
        "[fixed-output-planted, refusal], seeds: [0, 1, 2]",
    ),
    either(
        option(
            "--workers",
            type=int,
            metavar="N",
            help="processes on this machine (default: one a GPU, else one a core that there is "
            "memory for)",
        ),
        option(
            "--ray",
            metavar="ADDRESS",
            help="a Ray cluster that runs: auto, host:port or ray://host:port; models and data "
            "given as paths must lie there on every node",
        ),
    ),
    RUNS,
    JSON,
)
def sweep_command(options: argparse.Namespace, backend: Backend) -> Reply:
    """Carry out many discoveries, on this machine or on a Ray cluster."""
    from circuitviz.jobs.sweep import check_sweep, chosen_pool, perform_sweep, read_sweep
    from circuitviz.jobs.terminal import SweepTable

    asked = read_sweep(Path(options.file))
    pool = chosen_pool(asked, options.workers, options.ray)
    check_sweep(asked)
    store = store_of(options)
    require_writable(store.folder)
    run_ids = [config.run_id() for config in asked.configs]
    with SweepTable(run_ids) as table, stdout_discarded():
        runs = perform_sweep(asked, store, pool, table.show)
    counts = Counter(run.state for run in runs)
    words = {"done": "done", "saved": "saved before", "failed": "failed"}
    parts = ", ".join(f"{counts[state]} {word}" for state, word in words.items() if counts[state])
    return Reply(
        {"runs": [run.to_json() for run in runs], **{state: counts[state] for state in words}},
        f"{len(runs)} runs in {store.folder}: {parts}",
        code=FAILED if counts["failed"] else 0,
    )
