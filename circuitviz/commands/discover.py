"""`circuitviz discover MODEL`: the circuit behind a model's behaviour."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from circuitviz.cli_text import missed_target, run_summary
from circuitviz.commands.data import add_data_options, chosen_behaviour
from circuitviz.commands.library import Library
from circuitviz.commands.options import (
    AddParser,
    ArgumentHolder,
    add_json_option,
    add_running_options,
    add_store_option,
    command,
    require_writable,
    running,
    store_of,
)
from circuitviz.commands.output import say, say_json, say_on_stderr
from circuitviz.discovery.methods import METHODS
from circuitviz.models.source import lasting_name
from circuitviz.quiet import stdout_discarded
from circuitviz.runs.config import AblationKind, Budget, DiscoveryConfig
from circuitviz.runs.terminal import Bar
from circuitviz.units import Granularity

MISSED = 2
TARGET_UTILITY = DiscoveryConfig.target_utility
STEPWISE = tuple(name for name, card in METHODS.items() if card.has_steps)

# What `--json` prints of a run's metrics; the rest is for the app.
JSON_KEYS = (
    "run_id",
    "model",
    "behaviour",
    "behaviour_kind",
    "seconds",
    "n_units",
    "n_heads",
    "n_neurons",
    "circuit",
    "asr",
    "utility",
    "recovery",
    "utility_retention",
    "kl",
    "target",
    "target_reached",
    "frontier",
)
# Further ones, which not every run has.
MORE_JSON_KEYS = (
    "method",
    "granularity",
    "prompts_dropped",
    "screening",
    "open",
    "perplexity",
    "recovery_ceiling",
    "verdicts",
    "proxy",
    "alternatives",
    "target_missed",
    "refinement",
    "truth",
    "frontier_area",
    "statistics",
    "controls",
    "criteria",
    "stochastic",
    "ablations",
    "judges",
    "seconds_with_controls",
)


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(commands, "discover", _discover, "find the circuit behind a model's behaviour")
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="embedded or fetched model, path of a local folder or GGUF file, or Hugging Face id "
        "from the local cache",
    )
    _add_looking(parser.add_argument_group("what to look for"))
    _add_learning(parser.add_argument_group("how to learn"))
    add_running_options(parser.add_argument_group("how to run"))
    _add_saving(parser.add_argument_group("what to save"))


def _add_looking(group: ArgumentHolder) -> None:
    group.add_argument("--prompts", metavar="FILE", help="prompts to use instead of the model's")
    group.add_argument(
        "--data", metavar="FILE", help="your own prompts: .json, .jsonl, .csv or .parquet"
    )
    add_data_options(group)
    group.add_argument(
        "--target-asr",
        type=float,
        metavar="SHARE",
        help="ASR to reach: at most this (backdoor), at least this (refusal)",
    )
    group.add_argument(
        "--target-utility",
        type=float,
        default=TARGET_UTILITY,
        metavar="SHARE",
        help="least utility to keep (default: %(default)s)",
    )
    group.add_argument(
        "--granularity",
        choices=get_args(Granularity),
        default=DiscoveryConfig.granularity,
        help="what a circuit may be made of (default: %(default)s)",
    )
    group.add_argument(
        "--budget",
        choices=get_args(Budget),
        default=DiscoveryConfig.budget,
        help="one size for heads and neurons together, or one for each (default: %(default)s)",
    )


def _add_learning(group: ArgumentHolder) -> None:
    group.add_argument(
        "--method",
        choices=tuple(METHODS),
        default=DiscoveryConfig.method,
        help="how units are scored (default: %(default)s)",
    )
    group.add_argument(
        "--seed",
        type=int,
        default=DiscoveryConfig.seed,
        metavar="S",
        help="of everything random (default: %(default)s)",
    )
    group.add_argument(
        "--ablation",
        choices=get_args(AblationKind),
        default=DiscoveryConfig.ablation,
        help="what replaces a unit that is knocked out (default: %(default)s)",
    )
    group.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help=f"steps of mask learning, with the methods {', '.join(STEPWISE)} (default: "
        f"{DiscoveryConfig.steps})",
    )
    group.add_argument(
        "--l1-weight",
        type=float,
        metavar="W",
        help="with --method l1: the one price to use instead of a ladder of prices",
    )
    group.add_argument(
        "--max-new-tokens",
        type=int,
        metavar="N",
        help="longest answer that is judged, in tokens, where answers are open (default: 128)",
    )
    group.add_argument(
        "--no-refine",
        dest="refine",
        action="store_false",
        help="keep units that the chosen circuit can do without",
    )


def _add_saving(group: ArgumentHolder) -> None:
    group.add_argument(
        "--controls",
        action="store_true",
        help="also run the controls that must find nothing, and gather further evidence",
    )
    add_store_option(group)
    add_json_option(group)


def _discover(options: argparse.Namespace, library: Library) -> int:
    store = store_of(options)
    require_writable(store.folder)
    config = DiscoveryConfig(
        model=lasting_name(options.model),
        prompts=str(Path(options.prompts).resolve()) if options.prompts else None,
        method=options.method,
        seed=options.seed,
        ablation=options.ablation,
        steps=_steps(options),
        budget=options.budget,
        target_asr=options.target_asr,
        target_utility=options.target_utility,
        granularity=options.granularity,
        l1_weight=options.l1_weight,
        refine=options.refine,
        max_new_tokens=options.max_new_tokens,
        controls=options.controls,
        behaviour=chosen_behaviour(options, store.folder),
        **running(options),
    )
    with Bar() as bar, stdout_discarded():
        run = library.discover(config, bar.show)
        folder = store.save(run)
    if options.json:
        metrics = run.metrics.to_json()
        more = [key for key in MORE_JSON_KEYS if key in metrics]
        say_json({key: metrics[key] for key in (*JSON_KEYS, *more)})
    else:
        say(run_summary(run, folder))
    if run.metrics.target_reached:
        return 0
    say_on_stderr(missed_target(run))
    # A target the user chose is input that cannot be met; the behaviour's own is a finding.
    chosen = options.target_asr is not None or options.target_utility != TARGET_UTILITY
    return MISSED if chosen else 0


def _steps(options: argparse.Namespace) -> int:
    if options.steps is None:
        return DiscoveryConfig.steps
    if options.method not in STEPWISE:
        say_on_stderr(
            f"--steps has no effect with the method {options.method}, which learns no masks; it is "
            f"for {', '.join(STEPWISE)}"
        )
    return options.steps
