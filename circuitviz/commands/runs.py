"""`circuitviz runs`: the saved runs, as a table for people and as ids for scripts."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from circuitviz.cli_text import aligned_table, printable
from circuitviz.commands.options import (
    AddParser,
    add_json_option,
    add_store_option,
    command,
    store_of,
)
from circuitviz.commands.output import on_terminal, say, say_json, say_on_stderr
from circuitviz.errors import RunFormatError, RunNotFoundError

if TYPE_CHECKING:
    from circuitviz.runs.store import Run, RunStore


HEADER = (
    *("RUN", "MODEL", "BEHAVIOUR", "METHOD", "UNITS"),
    *("ASR INTACT", "KNOCKED OUT", "CREATED (UTC)"),
)
LONGEST_CELL = 30  # characters


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(
        commands,
        "runs",
        _runs,
        "list the saved runs, newest first: a table on a terminal, else one id a line",
    )
    add_store_option(parser)
    add_json_option(parser)


def runs_table(runs: Iterable[Run]) -> str:
    """A line for each run, newest first; a rate is a share and the number of its prompts."""
    return aligned_table(HEADER, map(_row, sorted(runs, key=_created, reverse=True)))


def _runs(options: argparse.Namespace, library: object) -> int:
    store = store_of(options)
    run_ids = store.ids()
    if options.json:
        say_json(run_ids)
    elif run_ids and on_terminal():
        _show(store, run_ids)
    elif run_ids:
        say("\n".join(run_ids))
    return 0


def _show(store: RunStore, run_ids: Iterable[str]) -> None:
    runs: list[Run] = []
    damaged: list[RunFormatError] = []
    for run_id in run_ids:
        try:
            runs.append(store.load(run_id))
        except RunNotFoundError:
            # Somebody has removed it meanwhile.
            continue
        except RunFormatError as error:
            # One damaged folder hides no other.
            damaged.append(error)
    if runs:
        say(runs_table(runs))
    for error in damaged:
        say_on_stderr(str(error))


def _row(run: Run) -> tuple[str, ...]:
    created = _created(run)
    return (
        run.run_id,
        _cell(Path(run.config.model).name or run.config.model),
        _cell(run.metrics.behaviour),
        run.config.method,
        str(run.size),
        *(f"{rate.rate:.1%} of {rate.n}" for _, rate in run.metrics.asr),
        f"{created:%Y-%m-%d %H:%M}",
    )


def _created(run: Run) -> datetime:
    """When the run was made, in UTC."""
    return datetime.fromisoformat(run.metrics.created).astimezone(UTC)


def _cell(text: str) -> str:
    plain = printable(" ".join(text.split()))
    return plain if len(plain) <= LONGEST_CELL else plain[: LONGEST_CELL - 1] + "…"
