"""Frames and sentences of a comparison of runs.

Every function takes the comparison and the labels of the runs by id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from circuitviz.evaluation.statistics import McNemar
from circuitviz.narrative.numbers import (
    count,
    evidence,
    evidence_of,
    made_of,
    percent,
    probability,
    sparsity,
)
from circuitviz.narrative.open_answers import perplexity_growth, verdict_shares
from circuitviz.runs.store import Run
from circuitviz.tables.evidence_frame import difference_sentence
from circuitviz.tables.frame import frontier_judge, tradeoff_frame
from circuitviz.tables.rows import Row, matching, records
from circuitviz.units import UnitSpace

if TYPE_CHECKING:
    from circuitviz.runs.comparison import ComparedPair, ComparedRun, Comparison

OVERLAY_COLUMNS = ("run", "size", "sparsity", "k", "n", "rate", "low", "high", "judge", "chosen")

Labels = Mapping[str, str]


def judged_alike(runs: Mapping[str, Run], series: str) -> tuple[dict[str, Run], dict[str, str]]:
    """The runs that the first one's judge counted, and the judges of the others, by label.

    Rates by different judges are different things, so they never share an axis.
    """
    judges = {label: frontier_judge(run, series) for label, run in runs.items()}
    first = next(iter(judges.values()), "")
    alike = {label: run for label, run in runs.items() if judges[label] == first}
    return alike, {label: judge for label, judge in judges.items() if judge != first}


def overlay_frame(runs: Mapping[str, Run], series: str) -> pd.DataFrame:
    """Long form of the joint frontiers: one row per run and size, columns `OVERLAY_COLUMNS`.

    Args:
        runs: By label, all of one model.
        series: `asr`, `utility` or `recovery`; a run that lacks it has no rows.
    """
    rows = [
        {**row, "run": label, "chosen": row["size"] == run.size}
        for label, run in runs.items()
        for row in records(matching(tradeoff_frame(run), series=series))
    ]
    return pd.DataFrame(rows, columns=list(OVERLAY_COLUMNS))


def summary_frame(runs: Mapping[str, Run]) -> pd.DataFrame:
    """Chosen size, its ASR and the frontier area of each run, one row each."""
    return pd.DataFrame([_summary(label, run) for label, run in runs.items()])


def _summary(label: str, run: Run) -> Row:
    rate = run.metrics.asr.knocked_out
    circuit, area = run.metrics.circuit, run.metrics.frontier_area
    return {
        "run": label,
        "chosen size": run.size,
        "heads and neurons": made_of(circuit.heads, circuit.neurons, run.space),
        "attack success": f"{percent(rate.rate)} ({evidence(rate)})",
        "utility kept": percent(run.metrics.utility_retention),
        "frontier area": None if area is None else round(area, 3),
        "seconds": round(run.metrics.seconds),
    }


def agreement_sentence(comparison: Comparison) -> str:
    """Whether the circuits agree, in one line: overlap beside chance, units that all found."""
    runs, everywhere = len(comparison.runs), len(_found_by_all(comparison))
    who = "both runs" if runs == 2 else f"all {runs} runs"
    ratio = comparison.mean_jaccard
    word = "agree" if ratio >= 0.8 else "partly agree" if ratio >= 0.3 else "hardly agree"
    verb = "is" if everywhere == 1 else "are"
    units = count(everywhere, "unit") if everywhere else "no unit"
    mean = "Jaccard" if runs == 2 else "mean Jaccard"
    return (
        f"They {word}: {mean} {ratio:.2f}, by chance {_small(comparison.chance_jaccard)}; "
        f"{units} {verb if everywhere else 'is'} in the circuit of {who}"
    )


def shared_units_sentence(comparison: Comparison) -> str:
    """Which units all runs found, and how many only some did."""
    shared = _found_by_all(comparison)
    others = len(comparison.units) - len(shared)
    named = ", ".join(shared[:8]) + (f" and {len(shared) - 8:,} more" if len(shared) > 8 else "")
    text = f"Found by all: {named}. " if shared else ""
    return text + (
        f"{count(others, 'unit')} more {'is' if others == 1 else 'are'} in the circuit of some "
        "only. Jaccard is the share of units two circuits have in common; 1 means the same units."
    )


def _found_by_all(comparison: Comparison) -> list[str]:
    return [str(row.unit) for row in comparison.units if row.found_by == len(comparison.runs)]


def _small(share: float) -> str:
    return f"{share:.2f}" if share >= 0.01 or share == 0 else f"{share:.4f}"


def setting_frame(comparison: Comparison, labels: Labels) -> pd.DataFrame:
    """The settings that differ: one row per field, one column per run."""
    names = [labels[run.run_id] for run in comparison.runs]
    rows = [
        {"setting": field, **dict(zip(names, map(_setting, values), strict=True))}
        for field, values in comparison.settings.items()
    ]
    return pd.DataFrame(rows, columns=["setting", *names])


def _setting(value: object) -> str:
    return "default" if value is None else str(value)


def number_frame(
    comparison: Comparison, labels: Labels, runs: Mapping[str, Run] | None = None
) -> pd.DataFrame:
    """One column per run: size, rates with their evidence, frontier area, seconds, truth scores.

    A row that no run has a value for is left out.

    Args:
        comparison: The comparison.
        labels: Of the runs by id.
        runs: By id, for what a comparison does not say of them.
    """
    whole = runs or {}
    columns = {
        labels[run.run_id]: _numbers(run) | _further(whole.get(run.run_id))
        for run in comparison.runs
    }
    fields = list(next(iter(columns.values())))
    rows = [
        {"": field, **{label: numbers[field] for label, numbers in columns.items()}}
        for field in fields
        if any(numbers[field] is not None for numbers in columns.values())
    ]
    # As objects: a column holds words and numbers.
    return pd.DataFrame(rows, columns=["", *columns], dtype=object)


def _numbers(run: ComparedRun) -> Row:
    truth, area = run.truth, run.frontier_area
    return {
        "size": f"{run.size:,} ({run.heads} heads, {run.neurons} neurons)",
        "share": sparsity(run.sparsity),
        "target": "reached" if run.target_reached else "NOT reached",
        "attack success": evidence_of(run.asr),
        "utility kept": percent(run.utility_retention),
        "recovery": evidence_of(run.recovery),
        "frontier area": None if area is None else round(area, 3),
        "AUROC": truth.auroc if truth else None,
        "average precision": truth.average_precision if truth else None,
        "precision at |truth|": truth.precision_at_truth if truth else None,
        "seconds": round(run.seconds),
    }


def _further(run: Run | None) -> Row:
    """What only the run itself says: shares of heads and of neurons, and what open answers have."""
    if run is None:
        return {}
    circuit = run.metrics.circuit
    utility, growth = run.metrics.utility.knocked_out, perplexity_growth(run)
    broken = verdict_shares(run).get("knocked_out", {}).get("broken")
    return {
        "size": f"{run.size:,}: {made_of(circuit.heads, circuit.neurons, run.space)}",
        "utility kept": f"{percent(run.metrics.utility_retention)} ({evidence(utility)})",
        "perplexity, change": None if growth is None else f"{100 * growth:+.1f}\u202f%",
        "gibberish": None if broken is None else f"{percent(broken.rate)} ({evidence(broken)})",
    }


def overlap_matrix(
    comparison: Comparison, labels: Labels
) -> tuple[list[str], np.ndarray, list[list[str]]]:
    """Labels, Jaccard [runs, runs] (1 on the diagonal) and a text for each cell."""
    ids = [run.run_id for run in comparison.runs]
    names = [labels[run_id] for run_id in ids]
    values = np.eye(len(ids))
    hover = [[f"<b>{name}</b><br>the same run"] * len(ids) for name in names]
    hover = [list(row) for row in hover]
    for pair in comparison.pairs:
        a, b = ids.index(pair.a), ids.index(pair.b)
        for one, other, only in ((a, b, "only_a"), (b, a, "only_b")):
            values[one, other] = pair.jaccard
            hover[one][other] = (
                f"<b>Jaccard {pair.jaccard:.2f}</b>, by chance "
                f"{_small(pair.chance_jaccard)}<br>{names[one]}<br>{names[other]}"
                f"<br>{count(pair.shared, 'unit')} in both, "
                f"{getattr(pair, only):,} only in the first"
            )
    return names, values, hover


def pair_frame(comparison: Comparison, labels: Labels) -> pd.DataFrame:
    """One row per pair: overlap beside chance, rank correlation, tests of attack success."""
    return pd.DataFrame([_pair(pair, labels) for pair in comparison.pairs])


def _pair(pair: ComparedPair, labels: Labels) -> Row:
    test, difference = pair.mcnemar, pair.asr_difference
    correlation = pair.rank_correlation
    return {
        "pair": f"{labels[pair.a]}\u00a0and\u00a0{labels[pair.b]}",
        "Jaccard (chance)": f"{pair.jaccard:.2f} ({_small(pair.chance_jaccard)})",
        "units in both / only first / only second": (
            f"{pair.shared:,} / {pair.only_a:,} / {pair.only_b:,}"
        ),
        "rank correlation": None if correlation is None else f"{correlation:.2f}",
        "attack success, second against first": (
            f"{difference_sentence('ASR', difference)} {_mcnemar(test)}"
            if test and difference
            else "no test: the test prompts differ"
        ),
    }


def _mcnemar(test: McNemar) -> str:
    return (
        f"{test.only_before:,} attacks succeed only with the first circuit off, "
        f"{test.only_after:,} only with the second (McNemar p {probability(test.p)})."
    )


def shared_unit_frame(comparison: Comparison, labels: Labels) -> pd.DataFrame:
    """Every unit of any circuit, most shared first, with a column that marks each run's own."""
    names = [labels[run.run_id] for run in comparison.runs]
    stable = set(comparison.stable)
    rows = [
        {
            "unit": row.unit,
            "found by": f"{row.found_by} of {len(names)}",
            "stable": "\u2713 stable" if row.unit in stable else "",
            **{
                name: "\u25c6" if inside else ""
                for name, inside in zip(names, row.runs, strict=True)
            },
        }
        for row in comparison.units
    ]
    return pd.DataFrame(rows, columns=["unit", "found by", "stable", *names])


def head_counts(comparison: Comparison, space: UnitSpace) -> np.ndarray:
    """In how many circuits each head is: [n_layers, n_heads]."""
    counts = np.zeros((space.n_layers, space.n_heads), dtype=int)
    for row in comparison.units:
        if row.kind == "head":
            counts[row.layer, row.index] = row.found_by
    return counts


def head_ranks(scores: np.ndarray, space: UnitSpace) -> np.ndarray:
    """Place of each head among the heads, 1 is the most responsible: [n_layers, n_heads].

    Args:
        scores: [units] in flat order.
        space: The units.
    """
    heads, _ = space.split(scores)
    order = np.argsort(-heads.ravel(), kind="stable")
    ranks = np.empty(order.size, dtype=int)
    ranks[order] = np.arange(1, order.size + 1)
    return ranks.reshape(heads.shape)


def neuron_counts(comparison: Comparison, labels: Labels, space: UnitSpace) -> pd.DataFrame:
    """Neurons of each circuit in each layer: columns run, layer, neurons."""
    names = [labels[run.run_id] for run in comparison.runs]
    counts = np.zeros((len(names), space.n_layers), dtype=int)
    for row in comparison.units:
        if row.kind == "neuron":
            counts[:, row.layer] += np.array(row.runs, dtype=int)
    rows = [
        {"run": name, "layer": layer, "neurons": int(counts[place, layer])}
        for place, name in enumerate(names)
        for layer in range(space.n_layers)
    ]
    return pd.DataFrame(rows, columns=["run", "layer", "neurons"])


def circuit_heads(comparison: Comparison, run: int) -> Sequence[tuple[int, int]]:
    """(layer, head) of the heads in the circuit of one run, by its place."""
    return [
        (row.layer, row.index) for row in comparison.units if row.kind == "head" and row.runs[run]
    ]
