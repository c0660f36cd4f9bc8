"""Which report of a run: its options, and the run as if it had reported another size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan

from circuitviz.errors import ConfigError
from circuitviz.evaluation.effect import Effect, Target
from circuitviz.evaluation.results import BeforeAfter, Metrics, ReportedCircuit
from circuitviz.runs.store import Run
from circuitviz.tables.frame import frontier_rows, point_rates
from circuitviz.tables.rows import matching, records

# Name and heading of each section, in the order they stand in a report.
SECTIONS: dict[str, str] = {
    "story": "Before and after",
    "controls": "Can this be believed?",
    "where": "Where it is",
    "tradeoff": "How small it can be",
    "answers": "What the model says",
    "evidence": "Further evidence",
    "method": "Method, settings and versions",
    "limits": "What would make this wrong",
    "data": "Data to take away",
}
# No report leaves out whether its controls behaved, or what would make it wrong.
ALWAYS = ("controls", "limits")


@dataclass(frozen=True)
class ReportOptions:
    """How a report is made.

    Attributes:
        size: Report this size of the frontier instead of the circuit that the run found.
        sections: Names of `SECTIONS`, in any order; those of `ALWAYS` are in every report.
        cover: Whether text that could be taken for harmful is covered until asked for.
    """

    size: int | None = None
    sections: tuple[str, ...] = tuple(SECTIONS)
    cover: bool = True

    def __post_init__(self) -> None:
        unknown = [name for name in self.sections if name not in SECTIONS]
        if unknown:
            raise ConfigError(
                f"sections of a report are {', '.join(SECTIONS)}; got {', '.join(unknown)}"
            )

    def has(self, section: str) -> bool:
        """Whether the report holds a section."""
        return section in self.sections or section in ALWAYS


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
    circuit = run.ranked.best(size)
    rates, intact = point_rates(run, rows[0]), run.metrics.utility.intact
    results = {
        name: value for name, value in run.metrics.to_json().items() if name not in OF_THE_REPORTED
    }
    metrics = Metrics.model_validate(
        {
            **results,
            "circuit": ReportedCircuit.measured(
                circuit, units=[str(run.space.unit(int(flat))) for flat in run.ranking[:size]]
            ),
            "asr": BeforeAfter(intact=run.metrics.asr.intact, knocked_out=rates["asr"]),
            "utility": BeforeAfter(intact=intact, knocked_out=rates["utility"]),
            "utility_retention": rates["utility"].rate / intact.rate if intact.k else nan,
            "recovery": rates.get("recovery"),
            "kl": float(rows[0]["kl"]),
            # Its test numbers were there to be seen when somebody asked for it.
            "chosen_by_hand": True,
        }
    )
    missed = list(_missed(metrics))
    metrics = metrics.changed(target_missed=missed, target_reached=not missed)
    # The answers that were saved are those of the reported circuit.
    return replace(run, metrics=metrics, generations=run.generations.iloc[:0])


def _missed(metrics: Metrics) -> tuple[str, ...]:
    """The parts of the target that these numbers miss."""
    ceiling, asr, utility = metrics.recovery_ceiling, metrics.asr, metrics.utility
    target = Target(
        metrics.behaviour_kind,
        metrics.target.asr,
        metrics.target.utility,
        ceiling=ceiling.rate if ceiling else 1.0,
    )
    # Where a request complied with is all there is to recover, attack success says it.
    recovery = metrics.recovery or asr.knocked_out
    return target.missed(
        Effect(asr.knocked_out, utility.knocked_out, recovery, metrics.kl),
        Effect(asr.intact, utility.intact, asr.intact, 0.0),
    )
