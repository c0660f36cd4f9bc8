"""A run as if it had reported another size of its frontier."""

from __future__ import annotations

from dataclasses import replace
from math import nan

from circuitviz.errors import ConfigError
from circuitviz.evaluation.results import BeforeAfter, Metrics, ReportedCircuit
from circuitviz.plots.frame import frontier_rows, point_rates
from circuitviz.plots.target import LEAST_RECOVERY
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
    "verdicts",
    "perplexity",
    "alternatives",
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
    rates, intact = point_rates(run, rows[0]), run.metrics.utility.intact
    results = {
        name: value for name, value in run.metrics.to_json().items() if name not in OF_THE_REPORTED
    }
    metrics = Metrics.model_validate(
        {
            **results,
            "circuit": _circuit(run, size),
            "asr": BeforeAfter(intact=run.metrics.asr.intact, knocked_out=rates["asr"]),
            "utility": BeforeAfter(intact=intact, knocked_out=rates["utility"]),
            "utility_retention": rates["utility"].rate / intact.rate if intact.k else nan,
            "recovery": rates.get("recovery"),
            "kl": float(rows[0]["kl"]),
            # Its test numbers were there to be seen when somebody asked for it.
            "chosen_by_hand": True,
        }
    )
    missed = _missed(metrics)
    metrics = metrics.changed(target_missed=missed, target_reached=not missed)
    # The answers that were saved are those of the reported circuit.
    return replace(run, metrics=metrics, generations=run.generations.iloc[:0])


def _circuit(run: Run, size: int) -> ReportedCircuit:
    circuit = run.ranked.best(size)
    return ReportedCircuit(
        size=size,
        heads=len(circuit.heads),
        neurons=len(circuit.neurons),
        sparsity=circuit.sparsity,
        sparsity_heads=circuit.sparsity_heads,
        sparsity_neurons=circuit.sparsity_neurons,
        units=[str(run.space.unit(int(flat))) for flat in run.ranking[:size]],
    )


def _missed(metrics: Metrics) -> list[str]:
    """The parts of the target that the discovery had which these numbers miss."""
    asked, asr = metrics.target, metrics.asr.knocked_out.rate
    recovered, ceiling = metrics.recovery, metrics.recovery_ceiling
    right = recovered.rate / (ceiling.rate if ceiling and ceiling.rate else 1.0) if recovered else 1
    parts = {
        "asr": asr >= asked.asr if metrics.is_refusal else asr <= asked.asr,
        "recovery": metrics.is_refusal or right >= LEAST_RECOVERY,
        "utility": not metrics.utility_retention < asked.utility,
    }
    return [name for name, met in parts.items() if not met]
