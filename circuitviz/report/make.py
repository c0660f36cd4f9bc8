"""A report in each of its forms, as bytes and as files."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from circuitviz import __version__
from circuitviz.errors import ConfigError, ReportError
from circuitviz.files import json_text, whole_file, whole_folder
from circuitviz.plots.catalogue import charts
from circuitviz.report.browser import print_page, write_pictures
from circuitviz.report.exports import circuit_json, notebook
from circuitviz.report.options import ReportOptions, at_size
from circuitviz.report.page import report_page
from circuitviz.runs.store import Run
from circuitviz.tables.run_tables import csv_of, tables

# One page, the same on paper, a notebook, the circuit for others; all tables, or all figures, in
# one archive.
ReportKind = Literal["html", "pdf", "ipynb", "json", "tables", "figures"]
# Endings of a file that is one of them.
_ENDINGS: dict[str, ReportKind] = {
    ".html": "html",
    ".pdf": "pdf",
    ".ipynb": "ipynb",
    ".json": "json",
}
PAGE, CIRCUIT = "report.html", "circuit.json"
# Lists what a report wrote into a folder, so that a later one replaces that and nothing else.
MARKER = "circuitviz_report.json"

_FORMS: dict[str, ReportKind] = {
    PAGE: "html",
    CIRCUIT: "json",
    "report.ipynb": "ipynb",
    "report.pdf": "pdf",
}
_STAGES = len(_FORMS) + 2

Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class WrittenReport:
    """What was written.

    Attributes:
        files: Every file, in the order it was made.
        notes: What could not be written, and why; one line each.
    """

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def report_bytes(run: Run, kind: ReportKind, options: ReportOptions | None = None) -> bytes:
    """The report in one form.

    Raises:
        ConfigError: The size was not measured.
        ReportError: A PDF, without a browser.
    """
    options = options or ReportOptions()
    match kind:
        case "html":
            return report_page(run, options).encode()
        case "pdf":
            return print_page(report_page(run, options, paper=True))
        case "ipynb":
            return _json(notebook(run, options))
        case "json":
            return _json(circuit_json(at_size(run, options.size)))
        case "tables":
            return _archive(_tables(at_size(run, options.size)))
        case "figures":
            return _archive(_figures(at_size(run, options.size)))


def require_out(out: Path) -> None:
    """Refuse an `out` that no report can be written to, before any work is done.

    Raises:
        ConfigError: The ending is none of ours, or the folder holds something else.
    """
    known = ", ".join(_ENDINGS)
    if out.suffix and not out.is_dir():
        if out.suffix.lower() not in _ENDINGS:
            raise ConfigError(
                f"a report is written as {known} or into a folder (a name without an ending); "
                f"got {out}"
            )
    elif out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; end its name in one of {known}, or name a folder")
    elif strange := _strange(out):
        raise ConfigError(
            f"{out} holds {strange[0]}, which no earlier report wrote; name an empty folder, or "
            "one that does not exist yet"
        )


def write_report(
    run: Run,
    out: Path,
    options: ReportOptions | None = None,
    tell: Tell = lambda what, share: None,
) -> WrittenReport:
    """Write the report to a file, by its ending, or all of its forms into a folder.

    Either is there only when it is complete, and replaces an earlier report.

    Args:
        run: The run.
        out: A file with one of `_ENDINGS`, or a folder.
        options: Size, sections, covering.
        tell: Told what is being made, and the share that is done.

    Raises:
        ConfigError: `out` cannot be a report, or the size was not measured.
        ReportError: A PDF, without a browser.
    """
    options = options or ReportOptions()
    require_out(out)
    if not out.suffix or out.is_dir():
        return _write_folder(run, out, options, tell)
    tell(out.name, 0.0)
    data = report_bytes(run, _ENDINGS[out.suffix.lower()], options)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with whole_file(out) as draft:
        draft.write_bytes(data)
    return WrittenReport((out,))


def _write_folder(run: Run, out: Path, options: ReportOptions, tell: Tell) -> WrittenReport:
    shown = at_size(run, options.size)
    notes: list[str] = []
    with whole_folder(out.resolve()) as draft:
        for place, (name, kind) in enumerate(_FORMS.items()):
            tell(name, place / _STAGES)
            try:
                (draft / name).write_bytes(report_bytes(run, kind, options))
            except ReportError as error:
                notes.append(f"{name} was left out: {error}")
        tell("tables", (_STAGES - 2) / _STAGES)
        (draft / "tables").mkdir()
        for name, data in _tables(shown).items():
            (draft / "tables" / name).write_bytes(data)
        tell("figures", (_STAGES - 1) / _STAGES)
        notes += _draw(shown, draft / "figures")
        names = _files(draft)
        marker = {"circuitviz": __version__, "run_id": run.run_id, "files": names}
        (draft / MARKER).write_bytes(_json(marker))
    return WrittenReport(tuple(out / name for name in names), tuple(notes))


def _draw(run: Run, folder: Path) -> list[str]:
    """Write the figures, or say why not."""
    folder.mkdir()
    try:
        write_pictures(charts(run), folder)
    except ReportError as error:
        shutil.rmtree(folder)
        return [f"figures were left out: {error}"]
    return []


def _strange(folder: Path) -> list[str]:
    """What lies in a folder and was not written by an earlier report."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        written = {MARKER, *map(str, marker["files"])}
    except (OSError, ValueError, KeyError, TypeError):
        # Without an earlier report nothing may lie there, and there can be very much of it.
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return sorted(set(_files(folder)) - written)


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()
    )


def _json(value: Any) -> bytes:
    return f"{json_text(value, indent=1)}\n".encode()


def _tables(run: Run) -> dict[str, bytes]:
    return {f"{name}.csv": csv_of(table) for name, table in tables(run).items()}


def _figures(run: Run) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        written = write_pictures(charts(run), Path(folder))
        return {path.name: path.read_bytes() for path in written}


def _archive(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return archive.getvalue()
