"""Where one unit stands in the rankings of several runs."""

from __future__ import annotations

from dataclasses import dataclass

from circuitviz.errors import ConfigError
from circuitviz.runs.store import Run
from circuitviz.units import Unit

__all__ = ["UnitRank", "unit_rank"]


@dataclass(frozen=True)
class UnitRank:
    """A unit's place in one run.

    Attributes:
        run_id: The run.
        rank: From 1, the most responsible; ties keep the order of the model.
        units: How many units were ranked.
        score: As the run scored it; scores of different methods do not compare.
        inside: Whether it is in the circuit the run reports.
        size: Units in that circuit.
    """

    run_id: str
    rank: int
    units: int
    score: float
    inside: bool
    size: int


def unit_rank(run: Run, unit: Unit) -> UnitRank:
    """The unit's place in a run.

    Raises:
        ConfigError: The run's model has no such unit.
    """
    if unit not in run.space:
        raise ConfigError(f"the run {run.run_id} has no unit {unit}; choose a run of this model")
    flat = run.space.flat(unit)
    return UnitRank(
        run.run_id,
        int((run.ranking == flat).argmax()) + 1,
        len(run.space),
        float(run.scores[flat]),
        unit in run.circuit(),
        run.size,
    )
