"""`circuitviz validate FILE`: how a file of prompts is understood, and what is wrong with it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from circuitviz.behaviours.columns import Columns, schema_name
from circuitviz.behaviours.tables import Table
from circuitviz.cli_text import NAME_WIDTH, aligned_table, printable
from circuitviz.commands.data import OwnData, add_data_options, read_own_data
from circuitviz.commands.options import AddParser, add_json_option, command
from circuitviz.commands.output import say, say_json

UNUSABLE = 2
PREVIEW_ROWS, PREVIEW_CHARACTERS = 3, 40


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(
        commands,
        "validate",
        _validate,
        "say how a file of prompts is understood and what is wrong with it; exit code 2 if it "
        "cannot be used",
    )
    parser.add_argument("file", metavar="FILE", help="prompts: .json, .jsonl, .csv or .parquet")
    add_data_options(parser, kinds_only=True)
    add_json_option(parser)


def preview(table: Table, columns: Columns, rows: int = PREVIEW_ROWS) -> list[dict[str, Any]]:
    """The first rows, field by field; `row` is the number in the file."""
    known = [(name, column) for name, column in columns if column in table.columns]
    return [
        {"row": number, **{name: cells[column] for name, column in known}}
        for number, cells in zip(table.numbers[:rows], table.rows, strict=False)
    ]


def _validate(options: argparse.Namespace, library: object) -> int:
    data = read_own_data(Path(options.file), options)
    if options.json:
        say_json(_json(data))
    else:
        say("\n".join(_lines(data)))
    return 0 if data.prepared.usable else UNUSABLE


def _json(data: OwnData) -> dict[str, Any]:
    prepared, request = data.prepared, data.request
    behaviour = prepared.behaviour
    trigger = behaviour.spec.trigger if behaviour else request.trigger
    return {
        "file": data.table.name,
        "usable": prepared.usable,
        "behaviour": request.kind,
        "schema": schema_name(data.table),
        "columns": dict(request.columns or ()),
        "benign_columns": dict(request.benign_columns or ()),
        "trigger": {"text": trigger.text, "place": trigger.place} if trigger else None,
        **prepared.counts,
        "preview": preview(data.table, request.columns or Columns()),
        "problems": [
            {
                "severity": problem.severity,
                "file": problem.file,
                "row": problem.row,
                "column": problem.column,
                "text": problem.text,
            }
            for problem in prepared.problems
        ],
    }


def _lines(data: OwnData) -> Iterator[str]:
    counts, columns = data.prepared.counts, data.request.columns or Columns()
    found = _json(data)
    yield _named("usable", "yes" if found["usable"] else "no")
    yield _named("behaviour", data.request.kind)
    if found["trigger"]:
        yield _named("trigger", f"{found['trigger']['text']!r}, {found['trigger']['place']}")
    yield _named("schema", found["schema"] or "columns by their names")
    yield _named("columns", _assigned(columns))
    if data.request.benign_columns:
        yield _named("benign", _assigned(data.request.benign_columns))
    yield _named("rows", f"{counts['rows']}, {counts['duplicates']} of them left out as repeats")
    if counts["holding_trigger"]:
        yield _named("left out", f"{counts['holding_trigger']} whose clean prompt has the trigger")
    if counts["set_aside"]:
        yield _named("set aside", f"{counts['set_aside']} clean rows as benign prompts")
    if counts["unanswered"]:
        yield _named("answers", f"{counts['unanswered']} prompts wait for the intact model's")
    yield ""
    yield aligned_table(
        ("SPLIT", "ATTACK", "BENIGN"),
        [(split, *map(str, of.values())) for split, of in counts["prompts"].items()],
    )
    yield ""
    yield _preview_table(data.table, columns)
    if data.prepared.problems:
        yield ""
    for problem in data.prepared.problems:
        yield _named(problem.severity, str(problem))


def _named(name: str, text: str) -> str:
    return f"{name:<{NAME_WIDTH}}{printable(text)}"


def _assigned(columns: Columns) -> str:
    return ", ".join(f"{name}={column}" for name, column in columns) or "none"


def _preview_table(table: Table, columns: Columns) -> str:
    rows = preview(table, columns)
    header = tuple(rows[0])
    cells = [tuple(_short(str(row[name])) for name in header) for row in rows]
    return aligned_table(tuple(name.upper() for name in header), cells)


def _short(cell: str) -> str:
    plain = printable(" ".join(cell.split()))
    return plain if len(plain) <= PREVIEW_CHARACTERS else plain[: PREVIEW_CHARACTERS - 1] + "…"
