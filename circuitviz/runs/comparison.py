"""Do runs agree?  Settings, numbers and circuits of several runs, and what chance would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from circuitviz.errors import ConfigError
from circuitviz.evaluation.judge import attack_rows
from circuitviz.evaluation.results import RateField, Result, TruthScores
from circuitviz.evaluation.statistics import (
    Difference,
    McNemar,
    chance_jaccard,
    jaccard,
    mcnemar,
    paired_difference,
)
from circuitviz.runs.config import NOT_HASHED
from circuitviz.runs.store import Run
from circuitviz.units import Circuit, Unit

MIN_COMPARED, MAX_COMPARED = 2, 6
# A unit is stable if at least 4 of 5 runs find it: the share of stability selection, Meinshausen
# & Bühlmann (2010), "Stability selection", arXiv:0809.2932, which advises 0.6 to 0.9.
STABLE_FOUND, STABLE_OF = 4, 5
# What makes two rows of generations the same test prompt.
QUESTION = ("prompt_id", "variant", "prompt", "target")
# Of the bootstrap: the same runs always compare alike.
SEED = 0


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


class ComparedRun(Result):
    """A run's settings and numbers; None for what it did not measure."""

    run_id: str
    model: str
    method: str
    seed: int
    granularity: str
    size: int
    heads: int
    neurons: int
    sparsity: float
    asr: RateField
    asr_intact: RateField
    utility_retention: float
    recovery: RateField | None
    frontier_area: float | None
    truth: TruthScores | None
    seconds: float
    target_reached: bool


class ComparedPair(Result):
    """How far the circuits and rankings of runs a and b agree.

    Where both were tested on the same prompts: McNemar's test and the ASR difference (b - a), both
    with the run's own circuit knocked out.  `only_before` counts attacks that succeed only under a,
    `only_after` only under b.
    """

    a: str
    b: str
    jaccard: float
    chance_jaccard: float
    shared: int
    only_a: int
    only_b: int
    rank_correlation: float | None
    mcnemar: McNemar | None
    asr_difference: Difference | None


class ComparedUnit(Result):
    """A unit of any circuit: in how many of them it is, and in which."""

    unit: str
    kind: str
    layer: int
    index: int
    found_by: int
    runs: list[bool]


class Comparison(Result):
    """What several runs have in common.

    Attributes:
        runs: Each run.
        settings: The fields of the configurations that differ, each with one value per run.
        pairs: Each pair of runs.
        units: Units in any circuit, those in most circuits first.
        mean_jaccard: Mean Jaccard index over the pairs.
        chance_jaccard: Its expectation if all circuits were random, of the same sizes.
        stable: Names of units in at least 80 % of the circuits.
        note: What to bear in mind when reading this, if anything.
    """

    runs: list[ComparedRun]
    settings: dict[str, list[Any]]
    pairs: list[ComparedPair]
    units: list[ComparedUnit]
    mean_jaccard: float
    chance_jaccard: float
    stable: list[str]
    note: str | None = None

    @property
    def sentence(self) -> str:
        """What came out, in one plain sentence."""
        everywhere = sum(unit.found_by == len(self.runs) for unit in self.units)
        mean = "" if len(self.runs) == MIN_COMPARED else "mean "
        return (
            f"{self._who()} share {everywhere} of {len(self.units)} units; their {mean}Jaccard "
            f"index is {self.mean_jaccard:.3f}, and chance would be {self.chance_jaccard:.2g}."
        )

    def _who(self) -> str:
        """`seeds 0 and 1` where only the seed tells the runs apart."""
        for field in ("seed", "method"):
            if list(self.settings) == [field]:
                values = [str(value) for value in self.settings[field]]
                return f"{field.capitalize()}s {', '.join(values[:-1])} and {values[-1]}"
        return f"The {len(self.runs)} runs"


def compare_runs(runs: Sequence[Run]) -> Comparison:
    """Compare 2 to 6 runs of models with the same units.

    Raises:
        ConfigError: There are fewer or more, one is given twice, or their models have other
            numbers of layers, heads or neurons.
    """
    _check(runs)
    circuits = [run.circuit() for run in runs]
    pairs = [
        _pair(runs[a], runs[b], circuits[a], circuits[b])
        for a, b in combinations(range(len(runs)), 2)
    ]
    units = _units(circuits)
    return Comparison(
        runs=[_summary(run) for run in runs],
        settings=_settings(runs),
        pairs=pairs,
        units=units,
        mean_jaccard=float(np.mean([pair.jaccard for pair in pairs])),
        chance_jaccard=float(np.mean([pair.chance_jaccard for pair in pairs])),
        stable=[
            unit.unit for unit in units if unit.found_by * STABLE_OF >= STABLE_FOUND * len(runs)
        ],
        note=_note(runs),
    )


def _check(runs: Sequence[Run]) -> None:
    if not MIN_COMPARED <= len(runs) <= MAX_COMPARED:
        raise ConfigError(
            f"a comparison takes {MIN_COMPARED} to {MAX_COMPARED} runs; got {len(runs)}"
        )
    ids = [run.run_id for run in runs]
    twice = sorted({run_id for run_id in ids if ids.count(run_id) > 1})
    if twice:
        raise ConfigError(f"a run cannot be compared with itself; got {', '.join(twice)} twice")
    first = runs[0]
    for run in runs[1:]:
        if run.space != first.space:
            raise ConfigError(
                "runs compare only where their models have the same units; "
                f"{_shape(first)}, but {_shape(run)}"
            )


def _shape(run: Run) -> str:
    space = run.space
    return (
        f"{run.config.model} has {space.n_layers} layers of {space.n_heads} heads and "
        f"{space.d_mlp} neurons"
    )


def _note(runs: Sequence[Run]) -> str | None:
    notes = []
    models = list(dict.fromkeys(run.config.model for run in runs))
    if len(models) > 1:
        notes.append(
            f"The runs are of different models ({', '.join(models)}): a shared unit is in the "
            "same place in each, but its weights are not the same."
        )
    if any(run.config.granularity == "layers" for run in runs):
        notes.append(
            "Chance is that of single units; circuits of whole layers overlap by chance more often."
        )
    return " ".join(notes) or None


def _summary(run: Run) -> ComparedRun:
    metrics, circuit, config = run.metrics, run.circuit(), run.config
    return ComparedRun(
        run_id=run.run_id,
        model=config.model,
        method=config.method,
        seed=config.seed,
        granularity=config.granularity,
        size=len(circuit),
        heads=len(circuit.heads),
        neurons=len(circuit.neurons),
        sparsity=circuit.sparsity,
        asr=metrics.asr.knocked_out,
        asr_intact=metrics.asr.intact,
        utility_retention=metrics.utility_retention,
        recovery=metrics.recovery,
        frontier_area=metrics.frontier_area,
        truth=metrics.truth,
        seconds=metrics.seconds,
        target_reached=metrics.target_reached,
    )


def _settings(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """What differs; what is measured besides changes no circuit and is left out."""
    configs = [run.config.to_json() for run in runs]
    values = {field: [config[field] for config in configs] for field in configs[0]}
    return {
        field: values_given
        for field, values_given in values.items()
        if field not in NOT_HASHED and any(value != values_given[0] for value in values_given)
    }


def _pair(a: Run, b: Run, circuit_a: Circuit, circuit_b: Circuit) -> ComparedPair:
    test, difference = _tests(a, b)
    return ComparedPair(
        a=a.run_id,
        b=b.run_id,
        jaccard=jaccard(circuit_a, circuit_b),
        chance_jaccard=chance_jaccard(circuit_a, circuit_b),
        shared=len(circuit_a.units & circuit_b.units),
        only_a=len(circuit_a.units - circuit_b.units),
        only_b=len(circuit_b.units - circuit_a.units),
        rank_correlation=_rank_correlation(a, b),
        mcnemar=test,
        asr_difference=difference,
    )


def _rank_correlation(a: Run, b: Run) -> float | None:
    """Spearman's rho of the units that both rank; None where one of them ranks nothing."""
    from scipy.stats import spearmanr

    both = a.ranked.eligible & b.ranked.eligible
    first, second = a.scores[both], b.scores[both]
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.asarray(spearmanr(first, second))[0])


def _tests(a: Run, b: Run) -> tuple[McNemar, Difference] | tuple[None, None]:
    """The paired tests; None where the test prompts are not the same."""
    before, after = _successes(a), _successes(b)
    if not before or before.keys() != after.keys():
        return None, None
    paired = list(before.values()), [after[question] for question in before]
    return mcnemar(*paired), paired_difference(*paired, seed=SEED)


def _successes(run: Run) -> dict[tuple[str, ...], bool]:
    """Whether each attack succeeds with the run's circuit knocked out, by test prompt."""
    attacks = attack_rows(run.generations)
    questions = zip(*(attacks[column] for column in QUESTION), strict=True)
    return dict(zip(questions, attacks["verdict_knocked_out"] == "success", strict=True))


def _units(circuits: Sequence[Circuit]) -> list[ComparedUnit]:
    units = [
        ComparedUnit(
            unit=str(unit),
            kind=unit.kind,
            layer=unit.layer,
            index=unit.index,
            found_by=sum(unit in circuit for circuit in circuits),
            runs=[unit in circuit for circuit in circuits],
        )
        for unit in sorted({unit for circuit in circuits for unit in circuit})
    ]
    return sorted(units, key=lambda unit: -unit.found_by)
