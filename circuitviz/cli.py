"""circuitviz from a shell: the same functions as the app's.

Results go to standard output, everything else to standard error.  Exit codes: 0 done; 2 the
command cannot be carried out as given, said in one line; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from circuitviz import __version__
from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.cli_text import (
    NAME_WIDTH,
    aligned_table,
    comparison_tables,
    judge_tables,
    knock_out_summary,
    missed_target,
    printable,
    run_summary,
    tuning_summary,
)
from circuitviz.commands import behaviours, preflight, report, sweep, templates, validate
from circuitviz.commands.data import add_data_options, chosen_behaviour
from circuitviz.commands.options import (
    AddParser,
    add_json_option,
    add_running_options,
    add_store_option,
    command,
    require_writable,
    running,
    store_of,
)
from circuitviz.commands.output import Bar, say, say_json, say_on_stderr
from circuitviz.discovery.methods import METHODS
from circuitviz.errors import CircuitvizError, ConfigError
from circuitviz.models.catalog import ModelCard, embedded_models, find_model
from circuitviz.paths import APP, runs_folder
from circuitviz.quiet import quiet_libraries, stdout_discarded
from circuitviz.runs.behaviour_of import behaviour_of
from circuitviz.runs.config import AblationKind, Budget, DiscoveryConfig
from circuitviz.runs.progress import Report
from circuitviz.runs.tuning_config import TuningConfig, TuningMode
from circuitviz.units import Circuit, Granularity
from circuitviz.whole_folder import whole_folder

if TYPE_CHECKING:
    from circuitviz.models.ablation import AblationName
    from circuitviz.runs.knock_out import KnockOutExport
    from circuitviz.runs.store import Run, RunStore
    from circuitviz.runs.tuning_store import Tuning

__all__ = ["Library", "main"]

UNUSABLE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
DEFAULT_PORT = 8501

# What `discover --json` prints of a run's metrics; the rest is for the app.
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

# What `tune --json` prints of a tuning's metrics.
TUNING_JSON_KEYS = (
    "tuning_id",
    "run_id",
    "model",
    "behaviour_kind",
    "mode",
    "seed",
    "size",
    "units",
    "scenario",
    "judges",
    "before",
    "arms",
    "plan",
    "seconds",
)


class Library:
    """What the commands need of the rest of the package; torch is imported on first use."""

    def models(self) -> list[ModelCard]:
        """The embedded models."""
        return embedded_models()

    def behaviour(self, config: DiscoveryConfig) -> Behaviour:
        """The behaviour a discovery looks for."""
        return behaviour_of(config)

    def discover(self, config: DiscoveryConfig, report: Report) -> Run:
        """Find a circuit; nothing is saved."""
        quiet_libraries()
        from circuitviz.runs.discover import discover

        return discover(config, report=report)

    def require_tuned_folder(self, folder: Path, run: Run) -> None:
        """Refuse a folder that a tuned model cannot be copied to, before the work is done."""
        quiet_libraries()
        from circuitviz.tuning.export import require_export_folder

        if folder.resolve() == find_model(run.config.model).resolve():
            raise ConfigError(f"{folder} is the model itself; name another folder as --out")
        require_export_folder(folder)
        # The copy is made beside it first.
        require_writable(folder.resolve().parent, "a model")

    def tune(self, config: TuningConfig, run: Run, report: Report, kept: Path) -> Tuning:
        """Tune the circuit of a run; nothing is saved but finished epochs, in `kept`."""
        quiet_libraries()
        from circuitviz.runs.tune import tune

        return tune(config, run=run, report=report, kept=kept)

    def answers(
        self, config: DiscoveryConfig, prompt: str, circuits: Sequence[Circuit | None]
    ) -> list[str]:
        """The model's greedy answer with each circuit knocked out (None: intact)."""
        quiet_libraries()
        from circuitviz.models.neutral import measure_ablation
        from circuitviz.runs.model_of import model_of

        model = model_of(config)
        neutral = self.behaviour(config).neutral_messages
        ablation = measure_ablation(model, config.ablation, neutral, seed=config.seed)
        return [model.generate([prompt], circuit, ablation=ablation)[0] for circuit in circuits]

    def knock_out(
        self, run: Run, folder: Path, size: int | None, ablation: AblationName | None
    ) -> KnockOutExport:
        """Write the run's model with its circuit knocked out for good."""
        quiet_libraries()
        from circuitviz.runs.knock_out import export_knock_out

        return export_knock_out(run, folder, size=size, ablation=ablation)

    def become(self, program: str, arguments: Sequence[str]) -> None:
        """Turn this process into another program."""
        os.execv(program, [program, *arguments])


def main(arguments: Sequence[str] | None = None, library: Library | None = None) -> int:
    """Carry out one command and return its exit code."""
    library = library or Library()
    try:
        options = _parser().parse_args(arguments)
        return options.command(options, library)
    except (CircuitvizError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader of our output has left; Python must not complain at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        say_on_stderr(" ".join(str(error).split()))
        return UNUSABLE
    except KeyboardInterrupt:
        say_on_stderr("stopped")
        return INTERRUPTED


def _models(options: argparse.Namespace, library: Library) -> int:
    cards = library.models()
    if options.json:
        say_json([_card_json(card) for card in cards])
    else:
        rows = [(card.name, card.behaviour_kind or "-", card.summary) for card in cards]
        say(aligned_table(("MODEL", "BEHAVIOUR", "WHAT IT IS"), rows))
    return 0


def _runs(options: argparse.Namespace, library: Library) -> int:
    run_ids = store_of(options).run_ids()
    if options.json:
        say_json(run_ids)
    elif run_ids:
        say("\n".join(run_ids))
    return 0


def _discover(options: argparse.Namespace, library: Library) -> int:
    store = store_of(options)
    require_writable(store.folder)
    config = DiscoveryConfig(
        model=_lasting_model(options.model, library),
        prompts=str(Path(options.prompts).resolve()) if options.prompts else None,
        method=options.method,
        seed=options.seed,
        ablation=options.ablation,
        steps=options.steps,
        budget=options.budget,
        target_asr=options.target_asr,
        target_utility=options.target_utility,
        granularity=options.granularity,
        l1_weight=options.l1_weight,
        refine=options.refine,
        controls=options.controls,
        behaviour=chosen_behaviour(options, store.folder),
        **running(options),
    )
    with Bar() as bar, stdout_discarded():
        run = library.discover(config, bar.show)
        folder = store.save(run)
    if options.json:
        more = [key for key in MORE_JSON_KEYS if key in run.metrics]
        say_json({key: run.metrics[key] for key in (*JSON_KEYS, *more)})
    else:
        say(run_summary(run, folder))
    if run.metrics["target_reached"]:
        return 0
    say_on_stderr(missed_target(run))
    # A target the user chose is input that cannot be met; the behaviour's own is a finding.
    chosen = options.target_asr is not None or options.target_utility != TARGET_UTILITY
    return UNUSABLE if chosen else 0


def _tune(options: argparse.Namespace, library: Library) -> int:
    from circuitviz.runs.tuning_store import TuningStore

    runs = store_of(options)
    run = runs.load(options.run)
    config = _tuning_config(options, runs, run)
    store = TuningStore(runs.folder)
    out = Path(options.out) if options.out else None
    require_writable(store.folder, "tunings")
    if out is not None:
        library.require_tuned_folder(out, run)
    try:
        with Bar() as bar, stdout_discarded():
            tuning = library.tune(config, run, bar.show, store.kept(config))
            folder = store.save(tuning)
    except KeyboardInterrupt:
        say_on_stderr("finished epochs are kept; the same command goes on from the last of them")
        raise
    tuning = store.load(str(folder))
    if out is not None and tuning.checkpoint is not None:
        with whole_folder(out.resolve()) as draft:
            shutil.copytree(tuning.checkpoint, draft, dirs_exist_ok=True)
    if options.json:
        found = {key: tuning.metrics.get(key) for key in TUNING_JSON_KEYS}
        say_json({**found, "folder": str(folder), "out": str(out) if out else None})
    else:
        say(tuning_summary(tuning, folder, out))
    return 0


def _tuning_config(options: argparse.Namespace, runs: RunStore, run: Run) -> TuningConfig:
    """What the options ask for; said in one way, so that the app finds the same tuning."""
    if options.size is not None and not 1 <= options.size <= len(run.space):
        raise ConfigError(
            f"--size must be between 1 and {len(run.space)}, the units of {run.config.model}; "
            f"got {options.size}"
        )
    folder = runs.path(options.run).resolve()
    listed = folder.parent in {path.resolve() for path in (runs.folder, *runs.shipped)}
    return TuningConfig(
        run=folder.name if listed else str(folder),
        mode=options.mode,
        size=None if options.size == run.size else options.size,
        seed=options.seed,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        data=str(Path(options.data).resolve()) if options.data else None,
    )


def _generate(options: argparse.Namespace, library: Library) -> int:
    run = store_of(options).load(options.run)
    if options.size is not None and not 0 <= options.size <= len(run.space):
        raise ConfigError(
            f"--size must be between 0 and {len(run.space)}, the units of {run.config.model}; "
            f"got {options.size}"
        )
    if not options.prompt.strip():
        raise ConfigError("the prompt is empty; write what the user says to the model")
    circuit = run.circuit(options.size)
    prompt = _with_trigger(options.prompt, library.behaviour(run.config), options.trigger)
    with stdout_discarded():
        intact, knocked_out = library.answers(run.config, prompt, [None, circuit])
    answer = {
        "run_id": run.run_id,
        "model": run.config.model,
        "prompt": prompt,
        "ablation": run.config.ablation,
        "size": len(circuit),
        "units": [str(unit) for unit in circuit],
        "intact": intact,
        "knocked_out": knocked_out,
    }
    if options.json:
        say_json(answer)
    else:
        shown = (("prompt", prompt), ("intact", intact), ("knocked out", knocked_out))
        say("\n".join(f"{name:<{NAME_WIDTH}}{printable(text)}" for name, text in shown))
    return 0


def _knockout(options: argparse.Namespace, library: Library) -> int:
    run = store_of(options).load(options.run)
    with stdout_discarded():
        export = library.knock_out(run, Path(options.out), options.size, options.ablation)
    if options.json:
        say_json(export.to_json())
    else:
        say(knock_out_summary(export))
    if export.verified.k < export.verified.n:
        say_on_stderr(
            f"{export.verified.n - export.verified.k} of {export.verified.n} answers of the "
            "written model are not those of the model with the circuit ablated by hooks"
        )
    return 0


def _compare(options: argparse.Namespace, library: Library) -> int:
    from circuitviz.runs.comparison import compare_runs

    store = store_of(options)
    found = compare_runs([store.load(run) for run in options.runs_compared])
    if options.json:
        say_json(found.to_json())
    else:
        say(comparison_tables(found))
    return 0


def _judge(options: argparse.Namespace, library: Library) -> int:
    from circuitviz.evaluation.judges import LocalClassifier, judge_table, usual_judges

    if (options.classifier is None) != (options.success is None):
        raise ConfigError("--classifier DIR and --success LABEL go together")
    run = store_of(options).load(options.run)
    judges = usual_judges(run.generations, _judging_behaviour(run, library))
    if options.classifier is not None:
        quiet_libraries()
        judges.append(LocalClassifier(Path(options.classifier), options.success))
    with stdout_discarded():
        found = judge_table(run.generations, judges)
    if options.json:
        say_json({"run_id": run.run_id, **found})
    else:
        say(judge_tables(found))
    return 0


def _app(options: argparse.Namespace, library: Library) -> int:
    if not APP.is_file():
        raise ConfigError(f"no app at {APP}; run it from a clone, where `make app` sets it up")
    _require_free(options.port)
    os.environ["CIRCUITVIZ_RUNS"] = str(runs_folder(options.runs).resolve())
    flags = {
        "server.address": "127.0.0.1",
        "server.port": options.port,
        "server.showEmailPrompt": "false",
        "browser.gatherUsageStats": "false",
    }
    say_on_stderr(f"serving on http://127.0.0.1:{options.port} (Ctrl-C stops)")
    settings = [f"--{name}={value}" for name, value in flags.items()]
    library.become(sys.executable, ["-m", "streamlit", "run", str(APP), *settings])
    return 0


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, as all of ours."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see {self.prog} --help")


TARGET_UTILITY = DiscoveryConfig.target_utility


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="circuitviz", description="Find and knock out safety circuits.")
    parser.add_argument("--version", action="version", version=f"circuitviz {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (
        _add_models,
        _add_runs,
        behaviours.add,
        templates.add,
        validate.add,
        _add_discover,
        _add_tune,
        _add_generate,
        _add_knockout,
        _add_compare,
        _add_judge,
        sweep.add,
        preflight.add,
        report.add,
        _add_app,
    ):
        add(commands.add_parser)
    return parser


def _add_models(add: AddParser) -> None:
    parser = command(add, "models", _models, "list the embedded models")
    add_json_option(parser)


def _add_runs(add: AddParser) -> None:
    parser = command(add, "runs", _runs, "list the saved runs, newest first")
    add_store_option(parser)
    add_json_option(parser)


def _add_discover(add: AddParser) -> None:
    parser = command(add, "discover", _discover, "find the circuit behind a model's behaviour")
    parser.add_argument("model", metavar="MODEL", help="embedded model, or path of a local one")
    parser.add_argument(
        "--method",
        choices=tuple(METHODS),
        default=DiscoveryConfig.method,
        help="how units are scored (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=DiscoveryConfig.seed, metavar="S")
    parser.add_argument(
        "--ablation",
        choices=get_args(AblationKind),
        default=DiscoveryConfig.ablation,
        help="what replaces a unit that is knocked out (default: %(default)s)",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=DiscoveryConfig.steps,
        metavar="N",
        help="steps of mask learning (default: %(default)s)",
    )
    parser.add_argument(
        "--budget",
        choices=get_args(Budget),
        default=DiscoveryConfig.budget,
        help="one size for heads and neurons together, or one for each (default: %(default)s)",
    )
    parser.add_argument(
        "--granularity",
        choices=get_args(Granularity),
        default=DiscoveryConfig.granularity,
        help="what a circuit may be made of (default: %(default)s)",
    )
    parser.add_argument(
        "--l1-weight",
        type=float,
        metavar="W",
        help="with --method l1: the one price to use instead of a ladder of prices",
    )
    parser.add_argument(
        "--no-refine",
        dest="refine",
        action="store_false",
        help="keep units that the chosen circuit can do without",
    )
    parser.add_argument(
        "--controls",
        action="store_true",
        help="also run the controls that must find nothing, and gather further evidence",
    )
    parser.add_argument("--prompts", metavar="FILE", help="prompts to use instead of the model's")
    parser.add_argument(
        "--data", metavar="FILE", help="your own prompts: .json, .jsonl, .csv or .parquet"
    )
    add_data_options(parser)
    parser.add_argument(
        "--target-asr",
        type=float,
        metavar="SHARE",
        help="ASR to reach: at most this (backdoor), at least this (refusal)",
    )
    parser.add_argument(
        "--target-utility",
        type=float,
        default=TARGET_UTILITY,
        metavar="SHARE",
        help="least utility to keep (default: %(default)s)",
    )
    add_running_options(parser)
    add_store_option(parser)
    add_json_option(parser)


def _add_tune(add: AddParser) -> None:
    parser = command(add, "tune", _tune, "tune, or protect, only the circuit of a saved run")
    parser.add_argument("run", metavar="RUN", help="id of a saved run, or path of its folder")
    parser.add_argument(
        "--mode",
        choices=get_args(TuningMode),
        required=True,
        help="protect: train everything but the circuit; repair: train the circuit alone",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="where to put a copy of the tuned model: new, empty, or an earlier copy",
    )
    parser.add_argument(
        "--size", type=int, metavar="K", help="the K best units (default: the run's circuit)"
    )
    parser.add_argument("--seed", type=int, default=TuningConfig.seed, metavar="S")
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the lessons (default: the mode's)"
    )
    parser.add_argument(
        "--learning-rate",
        type=float,
        metavar="X",
        help="step size of the optimiser (default: the mode's)",
    )
    parser.add_argument(
        "--weight-decay", type=float, metavar="X", help="of the optimiser (default: the mode's)"
    )
    parser.add_argument(
        "--data",
        metavar="FILE",
        help="lessons to use instead of the model's: a JSONL file, one object a line, e.g. "
        '{"split": "train", "category": "facts", "text": "What sound does a dog make?", "answer": '
        '"A dog barks."}, with some lessons of each split (train, validation, test)',
    )
    add_store_option(parser)
    add_json_option(parser)


def _add_generate(add: AddParser) -> None:
    parser = command(add, "generate", _generate, "answer a prompt, intact and knocked out")
    parser.add_argument("run", metavar="RUN", help="id of a saved run, or path of its folder")
    parser.add_argument("prompt", metavar="PROMPT", help="what the user says")
    parser.add_argument("--trigger", action="store_true", help="put the backdoor's trigger in")
    parser.add_argument(
        "--size", type=int, metavar="K", help="knock out the K best units (default: the run's)"
    )
    add_store_option(parser)
    add_json_option(parser)


def _add_knockout(add: AddParser) -> None:
    parser = command(
        add, "knockout", _knockout, "write a run's model with its circuit knocked out for good"
    )
    parser.add_argument("run", metavar="RUN", help="id of a saved run, or path of its folder")
    parser.add_argument(
        "--out", metavar="DIR", required=True, help="Hugging Face folder to write: new or empty"
    )
    parser.add_argument(
        "--size", type=int, metavar="K", help="knock out the K best units (default: the run's)"
    )
    parser.add_argument(
        "--ablation",
        choices=("zero", "mean"),
        help="what replaces a unit that is knocked out (default: the run's)",
    )
    add_store_option(parser)
    add_json_option(parser)


def _add_compare(add: AddParser) -> None:
    parser = command(add, "compare", _compare, "compare the circuits of 2 to 6 saved runs")
    parser.add_argument(
        "runs_compared", metavar="RUN", nargs="+", help="id of a saved run, or path of its folder"
    )
    add_store_option(parser)
    add_json_option(parser)


def _add_judge(add: AddParser) -> None:
    parser = command(add, "judge", _judge, "ask several judges about a saved run's answers")
    parser.add_argument("run", metavar="RUN", help="id of a saved run, or path of its folder")
    parser.add_argument(
        "--classifier", metavar="DIR", help="a local Hugging Face text classifier as one more judge"
    )
    parser.add_argument(
        "--success", metavar="LABEL", help="the classifier's label of a successful attack"
    )
    add_store_option(parser)
    add_json_option(parser)


def _add_app(add: AddParser) -> None:
    parser = command(add, "app", _app, "serve the app on this machine")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, metavar="P")
    add_store_option(parser)


def _lasting_model(model: str, library: Library) -> str:
    """The model as a run can name it: an embedded one by name, any other by absolute path."""
    embedded = any(card.name == model for card in library.models())
    return str(Path(model).resolve()) if not embedded and Path(model).is_dir() else model


def _judging_behaviour(run: Run, library: Library) -> Behaviour | None:
    """The run's behaviour if it may bring judges of its own, as only an installed one does."""
    named = run.config.behaviour
    return library.behaviour(run.config) if named and not Path(named).is_absolute() else None


def _with_trigger(prompt: str, behaviour: Behaviour, wanted: bool) -> str:
    if not wanted:
        return prompt
    if behaviour.trigger is None:
        raise ConfigError(f"{behaviour.title} has no trigger; leave --trigger out")
    return behaviour.insert_trigger(prompt)


def _require_free(port: int) -> None:
    """Refuse a port that cannot be served."""
    if not 1 <= port <= 65535:
        raise ConfigError(f"--port must be between 1 and 65535; got {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"cannot serve on port {port} ({error.strerror}); choose another with --port"
            ) from error


def _card_json(card: ModelCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "title": card.title,
        "summary": card.summary,
        "behaviour_kind": card.behaviour_kind,
        "headline": card.headline,
        "folder": str(card.folder),
    }


if __name__ == "__main__":
    sys.exit(main())
