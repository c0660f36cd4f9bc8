"""`circuitviz report RUN --out FILE`: a run to take away."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from circuitviz.commands.options import (
    AddParser,
    add_json_option,
    add_run_argument,
    add_store_option,
    command,
    require_writable,
    store_of,
)
from circuitviz.commands.output import say, say_json, say_on_stderr


def add(commands: AddParser) -> None:
    """The parser of the command."""
    parser = command(
        commands,
        "report",
        _report,
        "write a run as one HTML page, a PDF, a notebook, JSON, or all of them into a folder",
    )
    add_run_argument(parser)
    parser.add_argument(
        "--out",
        metavar="FILE",
        required=True,
        help="ends in .html, .pdf, .ipynb or .json (for CircuitKIT); a name without an ending is a "
        "folder for all of them, tables as CSV and figures as SVG and PNG",
    )
    parser.add_argument(
        "--size",
        type=int,
        metavar="N",
        help="report the best N units (default: the circuit that the run found)",
    )
    parser.add_argument(
        "--uncovered",
        action="store_true",
        help="show requests that a safe model refuses, and answers to them, without a click",
    )
    add_store_option(parser)
    add_json_option(parser)


def _report(options: argparse.Namespace, library: Any) -> int:
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
    if options.json:
        say_json({"run_id": run.run_id, "files": files, "notes": list(written.notes)})
    else:
        say("\n".join(files))
    return 0
