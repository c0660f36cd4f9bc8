"""A circuit as a file that CircuitKIT reads.

One object that follows two of its formats at once, since each ignores the other's fields
(Lexsi-Labs/CircuitKIT, `src/circuitkit/artifacts/`, both of version 1.0):

    CircuitArtifact   version, metadata, nodes, edges
    CircuitScores     task, model, algorithm, level, node_scores, timestamp, discovery_cfg

Both admit only algorithms of their own; the nearest one is named there, and the method that was
really used under `circuitviz`, together with everything that the formats have no place for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from circuitviz import __version__
from circuitviz.discovery.methods import METHODS
from circuitviz.narrative.methods import shown_settings
from circuitviz.runs.store import Run
from circuitviz.units import Unit

FORMAT_VERSION = "1.0"
# Units that are listed beside those of the circuit, best first; more would only make a large file.
MOST_OTHERS = 4096
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
    kept = inside | (np.cumsum(~inside) <= MOST_OTHERS)
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
