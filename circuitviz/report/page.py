"""A run as one page that needs no network: verdict first, live charts, everything embedded.

The page is `page.html.j2` with `page.css` and `page.js`, filled by jinja2, which escapes whatever
comes from a run.  Its content security policy names the two scripts by their hashes and allows no
connection at all.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from circuitviz import __version__
from circuitviz.files import json_text
from circuitviz.narrative import open_answers, story
from circuitviz.narrative.controls import controls_run, verdict_summary, verdicts
from circuitviz.narrative.methods import COVERED_NOTE, SAFESEEK, limits, method, shown_name
from circuitviz.narrative.numbers import count, make_up, ranges
from circuitviz.narrative.opening import (
    headlines,
    opening_headline,
    opening_lead,
    sentence,
    standings,
)
from circuitviz.narrative.text_diff import is_long
from circuitviz.plots.catalogue import charts
from circuitviz.report.answers import answers_sentence, examples
from circuitviz.report.exports import circuit_json
from circuitviz.report.options import SECTIONS, ReportOptions, at_size
from circuitviz.runs.store import Run
from circuitviz.tables import evidence_frame
from circuitviz.tables.run_tables import csv_of, rows_of, tables

HERE = Path(__file__).parent
_MAX_UNITS = 60
# Bytes from which on a file inside the page is zipped.
LARGEST_PLAIN = 600_000

EVIDENCE_TABLES = {
    "ablations": "The same circuit under each kind of ablation",
    "judges": "Attack success by other judges; their rates are not comparable with each other",
    "truth": "Against the units that the backdoor was planted in",
    "leave-one-in": "Each unit of the circuit left on in turn, the rest of the circuit off",
}


@dataclass(frozen=True)
class File:
    """A file inside the page.

    Attributes:
        name: What it is saved as.
        type: Its media type.
        data: Its content, base64.
        note: What it holds.
    """

    name: str
    type: str
    data: str
    note: str


def report_page(run: Run, options: ReportOptions | None = None, *, paper: bool = False) -> str:
    """The report as HTML.

    Args:
        run: The run.
        options: Size, sections, covering; by default everything about the reported circuit.
        paper: For printing: light, charts as wide as an A4 page, nothing to unfold.

    Raises:
        ConfigError: The size was not measured.
    """
    options = options or ReportOptions()
    return _render(_content(run, options, paper=paper))


def first_screen(run: Run, options: ReportOptions | None = None) -> str:
    """The top of the report as HTML, without charts or scripts: a few kilobytes."""
    options = options or ReportOptions()
    return _render({**_opening(at_size(run, options.size), run), "first_screen": True})


def _render(content: Mapping[str, Any]) -> str:
    script = _file("page.js")
    plotly = "" if content["first_screen"] else get_plotlyjs()
    fixed = {
        "version": __version__,
        "style": Markup(_file("page.css")),
        "script": Markup(script),
        "plotly": Markup(plotly),
        "policy": _policy(() if content["first_screen"] else (plotly, script)),
    }
    return _template().render({**fixed, **content})


@cache
def _template() -> Any:
    # Only the names below and what a run holds reach the template, and all of it is escaped.
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"cells": rows_of, "figure": _figure_json, "sentence": sentence}
    environment.filters |= filters
    environment.tests |= {"long": is_long}
    return environment.get_template("page.html.j2")


@cache
def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _policy(scripts: tuple[str, ...]) -> str:
    """Nothing may be fetched, and no script but ours may run."""
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'"
        for one in scripts
    ]
    return (
        f"default-src 'none'; script-src {' '.join(hashes) or chr(39) + 'none' + chr(39)}; "
        "style-src 'unsafe-inline'; img-src data: blob:; connect-src 'none'; form-action 'none'; "
        "base-uri 'none'"
    )


def _opening(run: Run, reported: Run) -> dict[str, Any]:
    """What the first screen needs."""
    return {
        "run": run,
        "paper": False,
        "first_screen": False,
        "resized": run is not reported,
        "reported_size": reported.size,
        "question": run.metrics.question or "Which units cause this behaviour?",
        "headline": opening_headline(run, reported),
        "lead": opening_lead(run, reported),
        "standings": standings(run, reported),
        "headlines": headlines(run),
        "origin": f"Model: {shown_name(run.config.model)} · behaviour: {run.metrics.behaviour} "
        f"· {run.config.ablation} ablation · seed {run.config.seed} · test split · intervals are "
        "95 % Wilson.",
    }


def _content(reported: Run, options: ReportOptions, *, paper: bool) -> dict[str, Any]:
    run = at_size(reported, options.size)
    kept = {name: title for name, title in SECTIONS.items() if options.has(name)}
    drawn = {name: one for name, one in charts(run).items() if one.section in kept}
    if "tradeoff" in kept and "trade-off" not in drawn:
        kept.pop("tradeoff")
    controls = verdicts(run)
    units = [str(unit) for unit in run.metrics.circuit.units]
    written = tables(run)
    return {
        **_opening(run, reported),
        "paper": paper,
        "options": options,
        "sections": kept,
        "charts": drawn,
        "verdict": verdict_summary(controls),
        "verdicts": controls,
        "ran": controls_run(run),
        "checks": story.doubts(run),
        "asides": _asides(run),
        "alternatives": evidence_frame.alternative_frame(run),
        "perplexity": evidence_frame.perplexity_frame(run),
        "place": _place(run),
        "units": units[:_MAX_UNITS],
        "more_units": max(0, len(units) - _MAX_UNITS),
        "answers_sentence": answers_sentence(run),
        "covered_note": COVERED_NOTE,
        "examples": examples(run, cover=options.cover),
        "criteria": evidence_frame.criteria_values(run),
        "refinement": evidence_frame.refinement_sentence(run),
        "next": evidence_frame.next_sentence(run),
        "paired": evidence_frame.paired_sentences(run),
        "tables": written,
        "any_evidence": bool(
            evidence_frame.criteria_values(run) or set(written) & set(EVIDENCE_TABLES)
        ),
        "evidence_tables": EVIDENCE_TABLES,
        "method": method(run),
        "limits": limits(run),
        "safeseek": SAFESEEK,
        "files": [] if paper or "data" not in kept else _files(run, written),
    }


def _asides(run: Run) -> list[str]:
    """What runs of open answers measured besides, a sentence each."""
    told = (
        open_answers.verdict_sentence(run),
        open_answers.ceiling_sentence(run),
        open_answers.proxy_sentence(run),
    )
    return [sentence(one) for one in told if one]


def _place(run: Run) -> str:
    circuit = run.circuit()
    layers = {unit.layer for unit in circuit}
    noun = "layer" if len(layers) == 1 else "layers"
    made = make_up(circuit)
    return (
        f"{made[0].upper()}{made[1:]}, in {noun} {ranges(layers)} (the model has "
        f"{run.space.n_layers}, counted from 0). {count(len(circuit), 'unit')}, best first:"
    )


def _figure_json(figure: go.Figure) -> Markup:
    """A figure as JSON that cannot end the script element it stands in."""
    # The page styles the figures; the default template would only repeat itself in each.
    bare = go.Figure(figure).update_layout(template=None)
    text = str(bare.to_json())
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)


def _files(run: Run, written: Mapping[str, Any]) -> list[File]:
    circuit = f"{json_text(circuit_json(run))}\n".encode()
    files = [_embedded("circuit.json", "application/json", circuit, "for CircuitKIT and others")]
    return files + [
        _embedded(f"{name}.csv", "text/csv", csv_of(table), count(len(table), "row"))
        for name, table in written.items()
    ]


def _embedded(name: str, media: str, data: bytes, note: str) -> File:
    """The file as it is, or zipped where it is large: hundreds of long answers are."""
    if len(data) > LARGEST_PLAIN:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            # A fixed date: the same run gives the same page.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        name, media, data = f"{name}.zip", "application/zip", packed.getvalue()
    return File(name, media, base64.b64encode(data).decode(), note)
