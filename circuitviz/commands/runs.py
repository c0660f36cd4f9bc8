"""Saved runs: listed, reported, compared, judged, and asked a prompt."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.commands.backend import Backend
from circuitviz.commands.options import (
    JSON,
    RUN,
    RUNS,
    Reply,
    command,
    option,
    require_writable,
    store_of,
)
from circuitviz.commands.output import (
    aligned_lines,
    aligned_table,
    comparison_tables,
    judge_tables,
    on_terminal,
    printable,
    say_on_stderr,
    short_cell,
)
from circuitviz.errors import ConfigError, RunFormatError, RunNotFoundError
from circuitviz.quiet import quiet_libraries, stdout_discarded

if TYPE_CHECKING:
    from circuitviz.runs.store import Run, RunStore

_HEADER = (
    *("RUN", "MODEL", "BEHAVIOUR", "METHOD", "UNITS"),
    *("ASR INTACT", "KNOCKED OUT", "CREATED (UTC)"),
)
MAX_CELL = 30  # characters


@command(
    "runs",
    "list the saved runs, newest first: a table on a terminal, else one id a line",
    RUNS,
    JSON,
)
def list_runs(options: argparse.Namespace, backend: Backend) -> Reply:
    """A table for people, ids for scripts."""
    store = store_of(options)
    run_ids = store.ids()
    if options.json or not on_terminal():
        return Reply(run_ids, "\n".join(run_ids))
    runs, damaged = _readable(store, run_ids)
    newest_first = sorted(runs, key=_created, reverse=True)
    text = aligned_table(_HEADER, map(_row, newest_first)) if runs else ""
    return Reply(text=text, notes=tuple(map(str, damaged)))


def _readable(store: RunStore, run_ids: Iterable[str]) -> tuple[list[Run], list[RunFormatError]]:
    """The runs, and what is said of damaged ones: they hide no others."""
    runs: list[Run] = []
    damaged: list[RunFormatError] = []
    for run_id in run_ids:
        try:
            runs.append(store.load(run_id))
        except RunNotFoundError:
            # It was removed meanwhile.
            continue
        except RunFormatError as error:
            damaged.append(error)
    return runs, damaged


def _row(run: Run) -> tuple[str, ...]:
    return (
        run.run_id,
        short_cell(Path(run.config.model).name or run.config.model, MAX_CELL),
        short_cell(run.metrics.behaviour, MAX_CELL),
        run.config.method,
        str(run.size),
        *(f"{rate.rate:.1%} of {rate.n}" for _, rate in run.metrics.asr),
        f"{_created(run):%Y-%m-%d %H:%M}",
    )


def _created(run: Run) -> datetime:
    """When the run was made, in UTC."""
    return datetime.fromisoformat(run.metrics.created).astimezone(UTC)


@command(
    "report",
    "write a run as one HTML page, a PDF, a notebook, JSON, or all of them into a folder",
    RUN,
    option(
        "--out",
        metavar="FILE",
        required=True,
        help="ends in .html, .pdf, .ipynb or .json (for CircuitKIT); a name without an ending is a "
        "folder for all of them, tables as CSV and figures as SVG and PNG",
    ),
    option(
        "--size",
        type=int,
        metavar="N",
        help="report the best N units (default: the circuit that the run found)",
    ),
    option(
        "--uncovered",
        action="store_true",
        help="show requests that a safe model refuses, and answers to them, without a click",
    ),
    RUNS,
    JSON,
)
def report_run(options: argparse.Namespace, backend: Backend) -> Reply:
    """Write a run to take away."""
    from circuitviz.report.make import require_out, write_report
    from circuitviz.report.options import ReportOptions

    run = store_of(options).load(options.run)
    out = Path(options.out)
    require_out(out)
    require_writable(out.absolute().parent, "a report")
    wanted = ReportOptions(size=options.size, cover=not options.uncovered)
    written = write_report(run, out, wanted, lambda what, _: say_on_stderr(f"making {what}"))
    for note in written.notes:
        say_on_stderr(note)
    files = [str(path) for path in written.files]
    result = {"run_id": run.run_id, "files": files, "notes": list(written.notes)}
    return Reply(result, "\n".join(files))


@command(
    "generate",
    "answer a prompt, intact and knocked out",
    RUN,
    option("prompt", metavar="PROMPT", help="what the user says"),
    option("--trigger", action="store_true", help="put the backdoor's trigger in"),
    option("--size", type=int, metavar="K", help="knock out the K best units (default: the run's)"),
    RUNS,
    JSON,
)
def generate(options: argparse.Namespace, backend: Backend) -> Reply:
    """Answer a prompt with and without the circuit."""
    run = store_of(options).load(options.run)
    if options.size is not None and not 0 <= options.size <= len(run.space):
        raise ConfigError(
            f"--size must be between 0 and {len(run.space)}, the units of {run.config.model}; "
            f"got {options.size}"
        )
    if not options.prompt.strip():
        raise ConfigError("the prompt is empty; write what the user says to the model")
    circuit = run.circuit(options.size)
    prompt = _with_trigger(options.prompt, backend.behaviour(run.config), options.trigger)
    with stdout_discarded():
        intact, knocked_out = backend.answers(run.config, prompt, [None, circuit])
    result = {
        "run_id": run.run_id,
        "model": run.config.model,
        "prompt": prompt,
        "ablation": run.config.ablation,
        "size": len(circuit),
        "units": [str(unit) for unit in circuit],
        "intact": intact,
        "knocked_out": knocked_out,
    }
    shown = (("prompt", prompt), ("intact", intact), ("knocked out", knocked_out))
    return Reply(result, aligned_lines((name, printable(text)) for name, text in shown))


def _with_trigger(prompt: str, behaviour: Behaviour, wanted: bool) -> str:
    if not wanted:
        return prompt
    if behaviour.trigger is None:
        raise ConfigError(f"{behaviour.title} has no trigger; leave --trigger out")
    return behaviour.insert_trigger(prompt)


@command(
    "compare",
    "compare the circuits of 2 to 6 saved runs",
    option("compared", metavar="RUN", nargs="+", help="id of a saved run, or path of its folder"),
    RUNS,
    JSON,
)
def compare(options: argparse.Namespace, backend: Backend) -> Reply:
    """What the circuits of several runs share."""
    from circuitviz.runs.comparison import compare_runs

    store = store_of(options)
    comparison = compare_runs([store.load(run) for run in options.compared])
    return Reply(comparison.to_json(), comparison_tables(comparison))


@command(
    "judge",
    "ask several judges about a saved run's answers",
    RUN,
    option(
        "--classifier", metavar="DIR", help="a local Hugging Face text classifier as one more judge"
    ),
    option("--success", metavar="LABEL", help="the classifier's label of a successful attack"),
    RUNS,
    JSON,
)
def judge_run(options: argparse.Namespace, backend: Backend) -> Reply:
    """What several judges say of a run's answers."""
    from circuitviz.evaluation.judge import judge_table, usual_judges
    from circuitviz.evaluation.judges.text_classifier import LocalClassifier

    if (options.classifier is None) != (options.success is None):
        raise ConfigError("--classifier DIR and --success LABEL go together")
    run = store_of(options).load(options.run)
    # Only the behaviour of an installed package may bring judges of its own.
    named = run.config.behaviour
    plugged = named and not Path(named).is_absolute()
    judges = usual_judges(run.generations, backend.behaviour(run.config) if plugged else None)
    if options.classifier is not None:
        quiet_libraries()
        judges.append(LocalClassifier(Path(options.classifier), options.success))
    with stdout_discarded():
        table = judge_table(run.generations, judges)
    return Reply({"run_id": run.run_id, **table.to_json()}, judge_tables(table))
