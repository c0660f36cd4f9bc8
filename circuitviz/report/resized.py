"""A run as if it had reported another size of its frontier."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import Any

from circuitviz.errors import ConfigError
from circuitviz.evaluation.rate import Rate
from circuitviz.plots.frame import frontier_rows, point_rates
from circuitviz.plots.target import LEAST_RECOVERY, is_refusal
from circuitviz.plots.text import matching, records
from circuitviz.runs.store import Run

# Measured with the reported circuit, so silent about any other.
OF_THE_REPORTED = (
    "random",
    "isolated",
    "controls",
    "criteria",
    "stochastic",
    "ablations",
    "judges",
    "statistics",
    "refinement",
    "recovery",
    "verdicts",
    "perplexity",
    "alternatives",
    "target_missed",
)


def at_size(run: Run, size: int | None) -> Run:
    """The run with the numbers of another size; what was measured at its own size is left out.

    Args:
        run: The run.
        size: A size of the joint frontier, at least 1; None or the run's own changes nothing.

    Raises:
        ConfigError: The size was not measured on test prompts.
    """
    if size is None or size == run.size:
        return run
    rows = records(matching(frontier_rows(run), size=size))
    if size < 1 or not rows:
        measured = [str(one) for one in run.joint_sizes if one > 0]
        raise ConfigError(
            f"size must be one that {run.run_id} measured on test prompts "
            f"({', '.join(measured) or 'none'}) or its own, {run.size}; got {size}"
        )
    rates = point_rates(run, rows[0])
    kept = {name: value for name, value in run.metrics.items() if name not in OF_THE_REPORTED}
    metrics = {**kept, **_measured(run, rates), "kl": float(rows[0]["kl"])}
    metrics["circuit"] = _circuit_json(run, size)
    metrics["target_reached"] = _reached(run, metrics)
    # Its test numbers were there to be seen when somebody asked for it.
    metrics["chosen_by_hand"] = True
    # The answers that were saved are those of the reported circuit.
    return replace(run, metrics=metrics, generations=run.generations.iloc[:0])


def _measured(run: Run, rates: dict[str, Rate]) -> dict[str, Any]:
    intact = run.rate("utility", "intact")
    found: dict[str, Any] = {
        name: {**run.metrics[name], "knocked_out": rates[name].to_json()}
        for name in ("asr", "utility")
    }
    found["utility_retention"] = rates["utility"].rate / intact.rate if intact.k else nan
    if "recovery" in rates:
        found["recovery"] = rates["recovery"].to_json()
    return found


def _circuit_json(run: Run, size: int) -> dict[str, Any]:
    circuit = run.ranked.best(size)
    return {
        "size": size,
        "heads": len(circuit.heads),
        "neurons": len(circuit.neurons),
        "sparsity": circuit.sparsity,
        "sparsity_heads": circuit.sparsity_heads,
        "sparsity_neurons": circuit.sparsity_neurons,
        "units": [str(run.space.unit(int(flat))) for flat in run.ranking[:size]],
    }


def _reached(run: Run, metrics: dict[str, Any]) -> bool:
    """Whether the numbers meet the target that the discovery had."""
    target = metrics.get("target") or {}
    asr = Rate.from_json(metrics["asr"]["knocked_out"]).rate
    if metrics["utility_retention"] < target.get("utility", 0.0):
        return False
    if is_refusal(run):
        return asr >= target.get("asr", 0.0)
    recovered, ceiling = metrics.get("recovery"), metrics.get("recovery_ceiling")
    right = Rate.from_json(recovered).rate if recovered else 1.0
    if recovered and ceiling:
        right /= Rate.from_json(ceiling).rate or 1.0
    return asr <= target.get("asr", 1.0) and right >= LEAST_RECOVERY
