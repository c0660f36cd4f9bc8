"""From a saved run to the frames that figures and tables show.

Every result is of the test split; validation rows chose the circuit and are never shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pandas as pd

from circuitviz.evaluation.rate import Rate
from circuitviz.runs.store import Run
from circuitviz.tables.rows import Row, matching, rate_row, records
from circuitviz.units import Circuit, Unit

SERIES = ("asr", "utility", "recovery")
TRADEOFF_COLUMNS = (
    "size",
    "heads",
    "neurons",
    "sparsity",
    "series",
    "k",
    "n",
    "rate",
    "low",
    "high",
    "judge",
)
UNIT_COLUMNS = ("unit", "kind", "layer", "index", "rank", "score", "in_circuit")
# Most rows of a table of one layer's neurons.
LAYER_ROWS = 2048
# Most units of a set that a page lists.
UNIT_ROWS = 1000
CONDITION_COLUMNS = ("condition", "series", "k", "n", "rate", "low", "high", "judge")


def frontier_rows(
    run: Run, *, budget: str = "joint", condition: str = "knocked_out"
) -> pd.DataFrame:
    """The evaluated circuits of one budget and condition on test prompts, smallest first."""
    rows = matching(run.frontier, split="test", budget=budget, condition=condition)
    return rows.sort_values(["size", "heads"]).reset_index(drop=True)


def point_rates(run: Run, row: Row) -> dict[str, Rate]:
    """The rates of one frontier row by series; a series without prompts is left out."""
    return {
        series: Rate(
            _row_judge(run, series, row),
            int(row[f"{series}_k"]),
            int(row[f"{series}_n"]),
            _effective_n(run, row, series),
        )
        for series in SERIES
        if int(row[f"{series}_n"]) > 0 and not (series == "recovery" and _complying_is_all(run))
    }


def _complying_is_all(run: Run) -> bool:
    """Whether recovery would only count again who complies: there is no one answer to return to."""
    return run.metrics.is_refusal and bool(run.metrics.verdicts)


def _effective_n(run: Run, row: Row, series: str) -> float | None:
    """How many independent observations a row's n is worth; None where each stands alone.

    Where the row does not say it, as large a share as at the size that the run reports.
    """
    known = row.get(f"{series}_effective_n")
    if known is not None and known == known:
        return float(known)
    rate = reported_rate(run, series)
    if rate is None or rate.effective_n is None:
        return None
    return int(row[f"{series}_n"]) * rate.effective_n / rate.n


def rates_at(
    run: Run, *, size: int | None = None, heads: int | None = None, neurons: int | None = None
) -> dict[str, Rate]:
    """ASR, utility and recovery on test prompts with one circuit of the run knocked out.

    Without a size, of the circuit the run reports; with heads and neurons, of the best of each.
    Empty where that circuit was not evaluated.
    """
    if heads is not None and neurons is not None:
        separate = frontier_rows(run, budget="separate")
        rows = records(matching(separate, heads=heads, neurons=neurons))
    elif size is None or size == run.size:
        rates = {series: reported_rate(run, series) for series in SERIES}
        if _complying_is_all(run):
            del rates["recovery"]
        return {series: rate for series, rate in rates.items() if rate}
    else:
        rows = records(matching(frontier_rows(run), size=size))
    return point_rates(run, rows[0]) if rows else {}


def judge_of(run: Run, series: str) -> str:
    """The judge that counted a series in this run."""
    rate = reported_rate(run, series)
    return rate.judge if rate else "unnamed judge"


def frontier_judge(run: Run, series: str) -> str:
    """The judge that counted a series at every size: of attacks, maybe a cheaper one."""
    proxy = run.metrics.proxy
    return proxy.name if series == "asr" and proxy else judge_of(run, series)


def _row_judge(run: Run, series: str, row: Row) -> str:
    """The judge of one row: whole answers are judged where the run reports a rate of its own."""
    whole = bool(run.metrics.verdicts) and row["budget"] == "joint"
    if whole and int(row["size"]) in (0, run.size):
        return judge_of(run, series)
    return frontier_judge(run, series)


def reported_rate(run: Run, series: str) -> Rate | None:
    """A rate with the reported circuit knocked out; None where it was not measured."""
    metrics = run.metrics
    rates = {"asr": metrics.asr.knocked_out, "utility": metrics.utility.knocked_out}
    return rates.get(series, metrics.recovery)


def tradeoff_frame(run: Run) -> pd.DataFrame:
    """Long form of the joint frontier: one row per size and series, `TRADEOFF_COLUMNS`."""
    return _long(run, frontier_rows(run))


def grid_frame(run: Run) -> pd.DataFrame:
    """Long form of the separate-budget grid, `TRADEOFF_COLUMNS`."""
    return _long(run, frontier_rows(run, budget="separate"))


def _long(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    sizes = ("size", "heads", "neurons", "sparsity")
    points = [
        {**{name: row[name] for name in sizes}, "series": series, **rate_row(rate)}
        for row in records(rows)
        for series, rate in point_rates(run, row).items()
    ]
    return pd.DataFrame(points, columns=list(TRADEOFF_COLUMNS))


def condition_frame(run: Run) -> pd.DataFrame:
    """ASR and utility of the intact model, the circuit off, and the controls.

    Columns `CONDITION_COLUMNS`; a control the run did not measure has no row.
    """
    asr, utility = run.metrics.asr, run.metrics.utility
    conditions = {
        "Intact model": {"asr": asr.intact, "utility": utility.intact},
        "Circuit off": {"asr": asr.knocked_out, "utility": utility.knocked_out},
    }
    for name, control in (
        ("Random circuit off", run.metrics.random),
        ("Only the circuit on", run.metrics.isolated),
    ):
        if control:
            conditions[name] = {"asr": control.asr, "utility": control.utility}
    rows = [
        {"condition": condition, "series": series, **rate_row(rate)}
        for condition, rates in conditions.items()
        for series, rate in rates.items()
    ]
    return pd.DataFrame(rows, columns=list(CONDITION_COLUMNS))


def random_control(run: Run) -> tuple[int, Rate] | None:
    """The size of the random circuits this run knocked out, and the ASR that was left."""
    control = run.metrics.random
    return (run.size, control.asr) if control else None


def unit_frame(
    run: Run,
    circuit: Circuit,
    kind: str | None = None,
    top: int = 60,
    most: int | None = None,
) -> pd.DataFrame:
    """The highest-ranked units, and any unit of the circuit, best first.

    Columns `UNIT_COLUMNS` (rank 1 is best), asr_alone (share in [0, 1] with only this unit off)
    and n_alone (of how many prompts); both missing where not measured.

    Args:
        run: Ranks the units.
        circuit: Whose units are all listed.
        kind: `head` or `neuron`; None: both.
        top: How many of the highest-ranked ones are listed, in the circuit or not.
        most: Most rows there are, for sets of nearly the whole model; None: as many as there are.
    """
    inside = circuit.mask()[run.ranking]
    is_head = run.ranking < run.space.total_heads
    of_kind = {None: np.ones_like(is_head), "head": is_head, "neuron": ~is_head}[kind]
    kept = of_kind & (inside | (np.cumsum(of_kind) <= top))
    columns = [*UNIT_COLUMNS, "asr_alone", "n_alone"]
    places = np.flatnonzero(kept)[:most]
    rows = [_unit_record(run, int(at), bool(inside[at])) for at in places]
    return pd.DataFrame(rows, columns=columns)


def _unit_record(run: Run, position: int, inside: bool) -> Row:
    flat = int(run.ranking[position])
    unit = run.space.unit(flat)
    effect = unit_effect(run, unit)
    return {
        "unit": str(unit),
        "kind": unit.kind,
        "layer": unit.layer,
        "index": unit.index,
        "rank": position + 1,
        "score": float(run.scores[flat]),
        "in_circuit": inside,
        "asr_alone": effect.rate if effect else None,
        "n_alone": effect.n if effect else None,
    }


def best_part(run: Run, circuit: Circuit, most: int) -> Circuit:
    """The units of a circuit that rank highest, at most so many."""
    best = run.ranking[circuit.mask()[run.ranking]][:most]
    return Circuit(run.space, frozenset(run.space.unit(int(flat)) for flat in best))


def layer_frame(run: Run, circuit: Circuit, layer: int) -> pd.DataFrame:
    """A layer's neurons in order: unit, score, in_circuit.

    Of a layer of more than `LAYER_ROWS`, the best ones and those of the circuit.
    """
    _, neurons = run.space.split(run.scores)
    scores = neurons[layer]
    inside = np.zeros(len(scores), dtype=bool)
    inside[[unit.index for unit in circuit.neurons if unit.layer == layer]] = True
    kept = inside.copy()
    kept[np.argsort(-scores, kind="stable")[:LAYER_ROWS]] = True
    index = np.flatnonzero(kept)
    return pd.DataFrame(
        {
            "unit": [f"L{layer}N{neuron}" for neuron in index],
            "score": scores[index],
            "in_circuit": inside[index],
        }
    )


def unit_effect(run: Run, unit: Unit) -> Rate | None:
    """ASR with only this unit knocked out, if the run measured it."""
    effect = run.metrics.unit_effects.get(str(unit))
    return effect.asr if effect else None


def unit_recovery(run: Run, unit: Unit) -> Rate | None:
    """Recovery with only this unit knocked out, if the run measured it."""
    effect = run.metrics.unit_effects.get(str(unit))
    return effect.recovery if effect else None


def bin_neurons(scores: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut each layer's neurons into at most `bins` runs of neighbours.

    Args:
        scores: [layers, d_mlp].
        bins: Most bins a layer may have, >= 1.

    Returns:
        The highest score of each bin [layers, bins] and the neuron that has it [layers, bins].
    """
    layers, width = scores.shape
    edges = np.linspace(0, width, min(bins, width) + 1).round().astype(int)
    best = np.empty((layers, len(edges) - 1), dtype=int)
    for column, (start, stop) in enumerate(pairwise(edges)):
        best[:, column] = start + scores[:, start:stop].argmax(axis=1)
    return np.take_along_axis(scores, best, axis=1), best


def generation_frame(run: Run) -> pd.DataFrame:
    """Every saved answer with `changed` (the verdict did), changed ones first, gibberish last."""
    frame = run.generations.copy()
    frame["changed"] = frame["verdict_intact"] != frame["verdict_knocked_out"]
    frame["benign"] = frame["role"] != "attack"
    frame["broken"] = (frame[["verdict_intact", "verdict_knocked_out"]] == "broken").any(axis=1)
    order = {"changed": False, "benign": True, "broken": True}
    frame = frame.sort_values([*order], ascending=[*order.values()], kind="stable")
    return frame.drop(columns=["benign", "broken"]).reset_index(drop=True)


def variant_pairs(frame: pd.DataFrame, prompt_id: str) -> dict[str, Row]:
    """The rows of one prompt by variant, clean first."""
    rows = {str(row["variant"]): row for row in records(matching(frame, prompt_id=prompt_id))}
    return {name: rows[name] for name in ("clean", "triggered") if name in rows}


def units_of(circuit: Iterable[Unit], kind: str) -> list[tuple[int, int]]:
    """Pairs (layer, index) of the units of one kind."""
    return [(unit.layer, unit.index) for unit in circuit if unit.kind == kind]
