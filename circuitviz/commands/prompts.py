"""Files of prompts: what they can look like, how one is understood; and behaviours by name."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from circuitviz.behaviours.columns import schema_name
from circuitviz.behaviours.plugins import behaviour_plugins
from circuitviz.behaviours.prepare import PreparedData
from circuitviz.behaviours.tables import TEMPLATES
from circuitviz.commands.backend import Backend
from circuitviz.commands.data import add_data_options, read_own_data
from circuitviz.commands.options import JSON, Reply, command, option
from circuitviz.commands.output import aligned_lines, aligned_table, printable, short_cell
from circuitviz.errors import ConfigError

UNUSABLE = 2
PREVIEW_ROWS, MAX_CELL = 3, 40


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
        rows = [(name, file.name) for name, file in TEMPLATES.items()]
        return Reply(text=aligned_table(("TEMPLATE", "FILE"), rows))
    if options.name not in TEMPLATES:
        raise ConfigError(f"a template is one of {', '.join(TEMPLATES)}; got {options.name!r}")
    text = TEMPLATES[options.name].read_text(encoding="utf-8")
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
    code = 0 if data.behaviour else UNUSABLE
    return Reply(result, _text(data, result), code=code)


def _result(data: PreparedData) -> dict[str, Any]:
    spec = data.spec
    trigger = data.behaviour.spec.trigger if data.behaviour else spec.trigger
    return {
        "file": data.table.name,
        "usable": data.behaviour is not None,
        "behaviour": spec.kind,
        "schema": schema_name(data.table),
        "columns": dict(spec.columns),
        "benign_columns": dict(spec.benign_columns),
        "trigger": {"text": trigger.text, "place": trigger.place} if trigger else None,
        **asdict(data.counts),
        "preview": _preview(data),
        "problems": [
            {
                "severity": problem.severity,
                "file": problem.origin.file,
                "row": problem.origin.row,
                "column": problem.column,
                "text": problem.text,
            }
            for problem in data.problems
        ],
    }


def _preview(data: PreparedData) -> list[dict[str, Any]]:
    """The first rows, field by field; `row` is the number in the file."""
    table, columns = data.table, data.spec.columns
    known = [(name, column) for name, column in columns.items() if column in table.columns]
    return [
        {"row": number, **{name: cells[column] for name, column in known}}
        for number, cells in zip(table.numbers[:PREVIEW_ROWS], table.rows, strict=False)
    ]


def _text(data: PreparedData, result: dict[str, Any]) -> str:
    splits = [(split, *map(str, of.values())) for split, of in result["prompts"].items()]
    shown = [
        [short_cell(str(cell), MAX_CELL) for cell in row.values()] for row in result["preview"]
    ]
    problems = [(problem.severity, printable(str(problem))) for problem in data.problems]
    parts = [
        aligned_lines((name, printable(value)) for name, value in _facts(data, result)),
        aligned_table(("SPLIT", "ATTACK", "BENIGN"), splits),
        aligned_table(tuple(name.upper() for name in result["preview"][0]), map(tuple, shown)),
        aligned_lines(problems),
    ]
    return "\n\n".join(part for part in parts if part)


def _facts(data: PreparedData, result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "usable", "yes" if result["usable"] else "no"
    yield "behaviour", result["behaviour"]
    if result["trigger"]:
        yield "trigger", f"{result['trigger']['text']!r}, {result['trigger']['place']}"
    yield "schema", result["schema"] or "columns by their names"
    yield "columns", _assigned(result["columns"])
    if result["benign_columns"]:
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
