"""A run for other tools: a notebook that repeats it, and its circuit as CircuitKIT reads it.

A circuit as a file that CircuitKIT reads.

One object that follows two of its formats at once, since each ignores the other's fields
(Lexsi-Labs/CircuitKIT, `src/circuitkit/artifacts/`, both of version 1.0):

    CircuitArtifact   version, metadata, nodes, edges
    CircuitScores     task, model, algorithm, level, node_scores, timestamp, discovery_cfg

Both admit only algorithms of their own; the nearest one is named there, and the method that was
really used under `circuitviz`, together with everything that the formats have no place for.
"""

from __future__ import annotations

import hashlib
import json
import pprint
from typing import Any

import numpy as np

from circuitviz import __version__
from circuitviz.discovery.methods import METHODS
from circuitviz.narrative.methods import shown_settings
from circuitviz.narrative.opening import opening_headline, opening_lead
from circuitviz.report.answers import could_harm
from circuitviz.report.options import ReportOptions, at_size
from circuitviz.runs.config import OF_MODEL
from circuitviz.runs.store import Run
from circuitviz.tables.rows import Row, records
from circuitviz.units import Unit

FORMAT_VERSION = "1.0"
# Units that are listed beside those of the circuit, best first; more would only make a large file.
MAX_OTHERS = 4096
# A node is in the circuit where its importance is at least this.
THRESHOLD = 0.5
NODE_TYPES = {"head": "attn_head", "neuron": "mlp_neuron"}


def circuit_json(run: Run) -> dict[str, Any]:
    """The run's circuit and ranking.

    Importance grows with the score within the circuit, [0.5, 1], and outside of it, [0, 0.5), so
    that the threshold cuts exactly the circuit.  There are no edges: none were measured.
    """
    algorithm = METHODS[run.config.method].circuitkit
    circuit, units = run.circuit(), _listed(run)
    shares = _shares(run)
    task = run.metrics.behaviour
    created = run.metrics.created
    settings = shown_settings(run.config)
    return {
        "version": FORMAT_VERSION,
        "metadata": {
            "model_id": settings["model"],
            "discovery_method": algorithm,
            "task": task,
            "dataset": settings["prompts"] or settings["behaviour"] or "beside the model",
            "granularity": "neuron" if circuit.neurons else "head",
            "threshold": THRESHOLD,
            "timestamp": created,
            "algorithm_params": settings,
        },
        "nodes": {
            str(unit): _node(unit, _share(run, unit, shares), unit in circuit) for unit in units
        },
        "edges": {},
        "task": task,
        "model": settings["model"],
        "algorithm": algorithm,
        "level": "neuron" if circuit.neurons else "node",
        "node_scores": {_score_name(unit): _share(run, unit, shares) for unit in units},
        "timestamp": created,
        "discovery_cfg": settings,
        "circuitviz": _own(run, len(units)),
    }


def _listed(run: Run) -> list[Unit]:
    """The units of the circuit and the best others, best first."""
    inside = run.circuit().mask()[run.ranking]
    kept = inside | (np.cumsum(~inside) <= MAX_OTHERS)
    return [run.space.unit(int(flat)) for flat in run.ranking[kept]]


def _shares(run: Run) -> np.ndarray:
    """Scores [units] brought to [0, 1]."""
    low, high = float(run.scores.min()), float(run.scores.max())
    return (run.scores - low) / (high - low) if high > low else np.ones_like(run.scores)


def _share(run: Run, unit: Unit, shares: np.ndarray) -> float:
    return round(float(shares[run.space.flat(unit)]), 6)


def _node(unit: Unit, share: float, inside: bool) -> dict[str, Any]:
    # Just below the threshold where it is not in the circuit, however high it scores.
    importance = THRESHOLD + share / 2 if inside else min(share / 2, 0.499999)
    return {
        "layer_idx": unit.layer,
        "node_type": NODE_TYPES[unit.kind],
        "index": unit.index,
        "importance": round(importance, 6),
        "name": str(unit),
    }


def _score_name(unit: Unit) -> str:
    """`A3.5` for a head, `L3.42` for a neuron, as CircuitScores names them."""
    return f"{'A' if unit.kind == 'head' else 'L'}{unit.layer}.{unit.index}"


def _own(run: Run, listed: int) -> dict[str, Any]:
    """What the formats have no place for."""
    metrics = run.metrics.to_json()
    names = ("asr", "utility", "recovery", "utility_retention", "kl", "target", "target_reached")
    names += ("chosen_by_hand",) if run.metrics.chosen_by_hand else ()
    return {
        "circuitviz": __version__,
        "run_id": run.run_id,
        "method": run.config.method,
        "note": "discovery_method and algorithm name the nearest algorithm that CircuitKIT admits; "
        f"the method that was used is the one here. {_told(run)}",
        "ablation": run.config.ablation,
        "seed": run.config.seed,
        "units_listed": listed,
        "units_of_model": len(run.space),
        "circuit": metrics["circuit"],
        **{name: metrics.get(name) for name in names},
        "controls": (metrics.get("controls") or {}).get("verdicts"),
        "versions": metrics["versions"],
    }


def _told(run: Run) -> str:
    """Whether knocking the circuit out does what the discovery was asked for."""
    verb = "meets" if run.metrics.target_reached else "does not meet"
    return f"Knocking out the circuit {verb} the target that is given here."


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
