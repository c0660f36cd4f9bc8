"""Rates a run has saved for exactly one set of units."""

from __future__ import annotations

from circuitviz.evaluation.rate import Rate
from circuitviz.plots import frame
from circuitviz.plots.text import kinds_in
from circuitviz.runs.config import AblationKind
from circuitviz.runs.store import Run
from circuitviz.units import Circuit

__all__ = ["saved_rates"]


def saved_rates(run: Run, circuit: Circuit, ablation: AblationKind) -> dict[str, Rate]:
    """ASR and utility with exactly these units knocked out; empty where the run does not say.

    A run says it of the intact model, of the circuit it reports and of the circuits its ranking
    was cut into, all under its own ablation.
    """
    if not len(circuit):
        return {name: run.rate(name, "intact") for name in ("asr", "utility")}
    if ablation != run.config.ablation:
        return {}
    rates: dict[str, Rate] = {}
    size, pair = len(circuit), kinds_in(circuit)
    if circuit == run.circuit():
        rates = frame.rates_at(run)
    elif size != run.size and size in run.joint_sizes and circuit == run.ranked.best(size):
        rates = frame.rates_at(run, size=size)
    elif pair in run.budget_points and circuit == run.circuit_of(*pair):
        rates = frame.rates_at(run, heads=pair[0], neurons=pair[1])
    return rates if {"asr", "utility"} <= set(rates) else {}
