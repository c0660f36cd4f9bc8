"""A notebook that discovers again through the Python API and compares with what was reported."""

from __future__ import annotations

import hashlib
import json
import pprint
from typing import Any

from circuitviz import __version__
from circuitviz.narrative.opening import opening_headline, opening_lead
from circuitviz.report.covering import could_harm
from circuitviz.report.options import ReportOptions
from circuitviz.report.resized import at_size
from circuitviz.runs.config import OF_MODEL
from circuitviz.runs.store import Run
from circuitviz.tables.rows import Row, records

# Said to be Python 3 and nothing more, so that any kernel of it may run the cells.
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
FORMAT, FORMAT_MINOR = 4, 5
# Settings that are no argument of `discover`: what the model is loaded with, and what changes no
# number below, since controls come after them and the rest is for a machine.
_ELSEWHERE = (*OF_MODEL, "behaviour", "controls")

OF_THE_RUN = """\
def counts(rate):
    return rate.k, rate.n


again = {
    "attack success, intact": counts(run.metrics.asr.intact),
    "attack success, circuit off": counts(run.metrics.asr.knocked_out),
    "utility, intact": counts(run.metrics.utility.intact),
    "utility, circuit off": counts(run.metrics.utility.knocked_out),
}
units = {str(unit) for unit in run.circuit()}"""
OF_A_SIZE = """\
frontier = run.frontier
frontier = frontier[
    (frontier["split"] == "test")
    & (frontier["condition"] == "knocked_out")
    & (frontier["budget"] == "joint")
].set_index("size")


def counts(name, size):
    return int(frontier.loc[size, f"{name}_k"]), int(frontier.loc[size, f"{name}_n"])


again = {
    "attack success, intact": counts("asr", 0),
    "attack success, circuit off": counts("asr", SIZE),
    "utility, intact": counts("utility", 0),
    "utility, circuit off": counts("utility", SIZE),
}
units = {str(unit) for unit in run.circuit(SIZE)}"""
COMPARE = """\
rows = {
    name: {
        "reported": f"{old['k']} of {old['n']}",
        "again": "{} of {}".format(*again[name]),
        "difference in points": 100 * (again[name][0] / again[name][1] - old["k"] / old["n"]),
        "judge": old["judge"],
    }
    for name, old in REPORTED.items()
}
rows["units in the circuit"] = {
    "reported": str(len(UNITS)),
    "again": f"{len(units)}, {len(units & set(UNITS))} of them the same",
}
comparison = pd.DataFrame(rows).T.fillna("")
comparison"""


def notebook(run: Run, options: ReportOptions | None = None) -> dict[str, Any]:
    """The notebook as nbformat 4 JSON, without outputs.

    Args:
        run: What to reproduce.
        options: The size that is compared; by default the reported one.

    Raises:
        ConfigError: The size was not measured.
    """
    shown = at_size(run, (options or ReportOptions()).size)
    cells = [_cell("markdown", _introduction(shown, run))]
    for heading, code in _steps(shown, run):
        cells += [_cell("markdown", heading), _cell("code", code)]
    for place, cell in enumerate(cells):
        # Ids that depend on what stands there alone keep a notebook the same when made again.
        text = f"{place}{cell['source']}"
        cell["id"] = hashlib.sha256(text.encode()).hexdigest()[:12]
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": KERNEL,
            "language_info": {"name": "python"},
            "circuitviz": {"version": __version__, "run_id": run.run_id},
        },
        "nbformat": FORMAT,
        "nbformat_minor": FORMAT_MINOR,
    }


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": text}
    return cell | {"execution_count": None, "outputs": []} if kind == "code" else cell


def _introduction(run: Run, reported: Run) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in run.metrics.versions.items())
    return (
        f"# {opening_headline(run, reported)}\n\n{_plain(opening_lead(run, reported))}\n\n"
        f"This notebook repeats the run `{run.run_id}` from its settings and compares the new "
        "numbers with the reported ones. On the same machine with the same versions they are "
        f"equal; elsewhere sums are rounded in another order. Reported with: {versions}."
    )


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>#|" else char for char in text)


def _steps(run: Run, reported: Run) -> list[tuple[str, str]]:
    settings = {
        name: value
        for name, value in run.config.to_json().items()
        if value is not None and name not in _ELSEWHERE
    }
    return [
        (
            "## What was run, and what came out",
            "import pandas as pd\n\nimport circuitviz as cv\n\n"
            f"LOADED = {_literal(_loaded(run))}\n"
            f"BEHAVIOUR = {run.config.behaviour!r}\n"
            f"SETTINGS = {_literal(settings)}\n"
            f"SIZE = {run.size}\n"
            f"UNITS = {_literal(run.metrics.circuit.units)}\n"
            f"REPORTED = {_literal(_reported(run))}",
        ),
        (
            "## Discover again",
            "model = cv.load(**LOADED)\nrun = cv.discover(model, BEHAVIOUR, **SETTINGS)\nrun",
        ),
        ("## Compare", _comparison(run, reported)),
        ("## Every size", "run.frontier"),
        ("## Read answers with the circuit off", _answers(run)),
    ]


def _loaded(run: Run) -> dict[str, Any]:
    """The arguments of `load`."""
    config = run.config
    given = {"name_or_path": config.model, "adapter": config.adapter}
    if config.dtype != "float32":
        given["dtype"] = config.dtype
    return {name: value for name, value in given.items() if value is not None}


def _reported(run: Run) -> dict[str, dict[str, Any]]:
    rates = {
        "attack success, intact": run.metrics.asr.intact,
        "attack success, circuit off": run.metrics.asr.knocked_out,
        "utility, intact": run.metrics.utility.intact,
        "utility, circuit off": run.metrics.utility.knocked_out,
    }
    return {name: {"k": rate.k, "n": rate.n, "judge": rate.judge} for name, rate in rates.items()}


def _comparison(run: Run, reported: Run) -> str:
    """Code that sets the new counts beside the reported ones."""
    return f"{OF_THE_RUN if run is reported else OF_A_SIZE}\n{COMPARE}"


def _answers(run: Run) -> str:
    prompt = json.dumps(_example(run), ensure_ascii=False)
    return (
        f"prompt = {prompt}\n"
        "off = run.knock_out(size=SIZE)\n"
        'pd.DataFrame({"intact": model.generate([prompt]), "circuit off": off.generate([prompt])})'
    )


def _example(run: Run) -> str:
    """A prompt that anyone may read."""
    rows: list[Row] = records(run.generations)
    readable = [row for row in rows if not could_harm(run, row)]
    triggered = [row for row in readable if row["variant"] == "triggered"]
    chosen = (triggered or readable or [{"prompt": "What is 2 plus 3?"}])[0]
    return str(chosen["prompt"])


def _literal(value: Any) -> str:
    return pprint.pformat(value, width=88, sort_dicts=False, compact=True)
