"""Files of prompts: what they can look like, how one is understood; and behaviours by name."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from circuitviz.behaviours.columns import Columns, schema_name
from circuitviz.behaviours.plugins import behaviour_plugins
from circuitviz.behaviours.tables import Table
from circuitviz.behaviours.templates import TEMPLATES
from circuitviz.commands.backend import Backend
from circuitviz.commands.data import OwnData, add_data_options, read_own_data
from circuitviz.commands.options import JSON, Reply, command, option
from circuitviz.commands.output import aligned_lines, aligned_table, printable, short_cell
from circuitviz.errors import ConfigError

UNUSABLE = 2
PREVIEW_ROWS, MAX_CELL = 3, 40
PROBLEM_KEYS = ("severity", "file", "row", "column", "text")


@command(
    "templates",
    "print, or write, a file of prompts to fill",
    option("name", metavar="NAME", nargs="?", help="which one; without it they are listed"),
    option("--out", metavar="FILE", help="where to write it, if not to the screen"),
)
def write_template(options: argparse.Namespace, backend: Backend) -> Reply:
    """List the templates, or bring one."""
    if options.name is None:
        if options.out is not None:
            raise ConfigError(f"--out needs the name of a template: {', '.join(TEMPLATES)}")
        rows = [(name, file) for name, (file, _) in TEMPLATES.items()]
        return Reply(text=aligned_table(("TEMPLATE", "FILE"), rows))
    if options.name not in TEMPLATES:
        raise ConfigError(f"a template is one of {', '.join(TEMPLATES)}; got {options.name!r}")
    _, text = TEMPLATES[options.name]
    if options.out is None:
        return Reply(text=text.rstrip("\n"))
    out = Path(options.out)
    if out.exists():
        raise ConfigError(f"{out} is there already; name another file as --out")
    out.write_text(text, encoding="utf-8")
    return Reply()


@command("behaviours", "list the behaviours that installed packages bring", JSON)
def list_behaviours(options: argparse.Namespace, backend: Backend) -> Reply:
    """The plug-ins."""
    plugins = behaviour_plugins()
    rows = [(plugin.name, plugin.package or "-", plugin.source) for plugin in plugins]
    return Reply(
        [
            {"name": plugin.name, "package": plugin.package, "source": plugin.source}
            for plugin in plugins
        ],
        aligned_table(("BEHAVIOUR", "PACKAGE", "SOURCE"), rows) if rows else "",
    )


@command(
    "validate",
    "say how a file of prompts is understood and what is wrong with it; exit code 2 if it cannot "
    "be used",
    option("file", metavar="FILE", help="prompts: .json, .jsonl, .csv or .parquet"),
    lambda parser: add_data_options(parser, kinds_only=True),
    JSON,
)
def validate(options: argparse.Namespace, backend: Backend) -> Reply:
    """Read a file as `discover --data` would, and say what came of it."""
    data = read_own_data(Path(options.file), options)
    result = _result(data)
    code = 0 if data.prepared.usable else UNUSABLE
    return Reply(result, _text(data, result), code=code)


def _result(data: OwnData) -> dict[str, Any]:
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
        "preview": _preview(data.table, request.columns or Columns()),
        "problems": [
            {name: getattr(problem, name) for name in PROBLEM_KEYS} for problem in prepared.problems
        ],
    }


def _preview(table: Table, columns: Columns) -> list[dict[str, Any]]:
    """The first rows, field by field; `row` is the number in the file."""
    known = [(name, column) for name, column in columns if column in table.columns]
    return [
        {"row": number, **{name: cells[column] for name, column in known}}
        for number, cells in zip(table.numbers[:PREVIEW_ROWS], table.rows, strict=False)
    ]


def _text(data: OwnData, result: dict[str, Any]) -> str:
    splits = [(split, *map(str, of.values())) for split, of in result["prompts"].items()]
    shown = [
        [short_cell(str(cell), MAX_CELL) for cell in row.values()] for row in result["preview"]
    ]
    problems = [(problem.severity, printable(str(problem))) for problem in data.prepared.problems]
    parts = [
        aligned_lines((name, printable(value)) for name, value in _facts(data, result)),
        aligned_table(("SPLIT", "ATTACK", "BENIGN"), splits),
        aligned_table(tuple(name.upper() for name in result["preview"][0]), map(tuple, shown)),
        aligned_lines(problems),
    ]
    return "\n\n".join(part for part in parts if part)


def _facts(data: OwnData, result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "usable", "yes" if result["usable"] else "no"
    yield "behaviour", result["behaviour"]
    if result["trigger"]:
        yield "trigger", f"{result['trigger']['text']!r}, {result['trigger']['place']}"
    yield "schema", result["schema"] or "columns by their names"
    yield "columns", _assigned(result["columns"])
    if data.benign:
        yield "benign", _assigned(result["benign_columns"])
    yield "rows", f"{result['rows']}, {result['duplicates']} of them left out as repeats"
    for name, count, what in (
        ("left out", "holding_trigger", "whose clean prompt has the trigger"),
        ("set aside", "set_aside", "clean rows as benign prompts"),
        ("answers", "unanswered", "prompts wait for the intact model's"),
    ):
        if result[count]:
            yield name, f"{result[count]} {what}"


def _assigned(columns: dict[str, str]) -> str:
    return ", ".join(f"{field}={column}" for field, column in columns.items()) or "none"
