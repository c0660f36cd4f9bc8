"""Print the table of methods in docs/evidence.md: every method on every model.

    python benchmarks/methods.py [--models NAME ...] [--methods NAME ...] [--seeds N ...]
                                 [--results FILE] [--json] [--quick]

Each (model, method, seed) is one task: learn on training prompts, choose the smallest circuit on
validation prompts, drop what it does not need, put the rest and what is next in line in greedy
order, and measure on test prompts.  The frontier area is of the ranking that this leaves, as a
discovery reports it; the raw one is of the learner's own ranking, and so is every score against a
planted truth.

Finished tasks are kept in FILE, so an interrupted benchmark goes on where it stopped.  Two tasks
run at a time, each on one core; `seconds` are those of learning alone, on one core.

On planted models the default is run with five seeds, integrated gradients, which need luck with it,
with three and the others with two, so that all of it takes 25 minutes on two cores; one unit at a
time has one, since seeds differ there in nothing but the prompts drawn.  On the other models all
have one, and a method that uses no seed is run once.
`--quick` takes one planted model, one seed and three methods, and keeps nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from circuitviz.discovery.methods import METHODS
from circuitviz.models.checkpoint import ADAPTER_WEIGHTS, is_adapter
from circuitviz.models.source import embedded_models, find_model, find_source
from circuitviz.quiet import quiet_libraries

if TYPE_CHECKING:
    from circuitviz.evaluation.effect import Effect
    from circuitviz.units import Circuit, Ranking

HEADER = (
    "| model | method | circuit on target (before refining) | frontier area (raw) | AUROC "
    "| precision at truth "
    "| Jaccard over seeds (chance) | seconds |"
)
QUICK_MODEL, QUICK_METHODS = "late-trigger-planted", ("nested", "l1", "attribution")
# Seeds on a planted model, by method, and of all other methods; then seeds on the other models.
PLANTED_SEEDS = {"nested": 5, "attribution": 3, "single-unit": 1}
USUAL_SEEDS, OTHER_SEEDS = 2, 1
CORES = 2
# The same backdoor as fixed-output, found by every method; left out to save time.
LEFT_OUT = ("fixed-output-lora",)

# Prompts of each role: to choose a size, and for each size of a frontier.
CHOOSE_PROMPTS, FRONTIER_PROMPTS = 96, 64
# Every size up to this one is measured, so that the order of a small circuit counts.
DENSE_SIZES = 16
# Beyond this size the embedded models say nothing sensible, so a frontier gains nothing there.
LARGEST_SIZE = 256
# Of the results kept: raised whenever other things are measured, or in another way.
FORMAT = 4


@dataclass(frozen=True, order=True)
class Task:
    """One method on one model with one seed."""

    model: str
    method: str
    seed: int

    @property
    def key(self) -> str:
        """What its result is kept under."""
        return f"{self.model}/{self.method}/{self.seed}"


def main() -> int:
    """Run what is missing and print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    cards = [card for card in embedded_models() if card.behaviour_kind]
    known = [card.name for card in cards]
    # Real models have to be fetched, and take hours: by name alone.
    usual = [card.name for card in cards if card.base is None and card.name not in LEFT_OUT]
    parser.add_argument("--models", nargs="+", default=usual, choices=known)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--results", type=Path, default=Path("runs/methods.jsonl"))
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    tasks = list(_tasks(options))
    kept = None if options.quick else options.results
    rows = _rows(tasks, _run_all(tasks, kept))
    if options.json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
    else:
        lines = [HEADER, "|---" * HEADER.count(" | ") + "|---|", *map(_line, rows)]
        sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _tasks(options: argparse.Namespace) -> Iterator[Task]:
    if options.quick:
        yield from (Task(QUICK_MODEL, method, 0) for method in QUICK_METHODS)
        return
    for model in options.models:
        planted = (find_model(model) / "truth.json").is_file()
        for method in options.methods:
            usual = PLANTED_SEEDS.get(method, USUAL_SEEDS) if planted else OTHER_SEEDS
            seeds = options.seeds or list(range(usual))
            for seed in seeds if METHODS[method].seeded else seeds[:1]:
                yield Task(model, method, seed)


def _run_all(tasks: Sequence[Task], kept: Path | None) -> dict[Task, dict[str, Any]]:
    found = {task: value for task, value in _read(kept).items() if task in set(tasks)}
    missing = [task for task in tasks if task not in found]
    # Each process learns with one thread: two of them use two cores better than one with two.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(CORES, mp_context=context, initializer=_start) as pool,
        tqdm(total=len(missing), file=sys.stderr, disable=not missing) as bar,
    ):
        running = {pool.submit(_run, task): task for task in missing}
        try:
            for done in as_completed(running):
                found[running[done]] = done.result()
                bar.update()
                if kept is not None:
                    _keep(kept, running[done], done.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


def _read(path: Path | None) -> dict[Task, dict[str, Any]]:
    if path is None or not path.is_file():
        return {}
    found = {}
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue  # cut off when the benchmark was stopped
        if line.get("format") != FORMAT:
            continue
        task = Task(**line["task"])
        if line["data"] == _digest(task.model):
            found[task] = line["result"]
    return found


@cache
def _digest(model: str) -> str:
    """Of a model's weights and prompts: results of others are not taken for its own."""
    folder, digest = find_model(model), hashlib.sha256()
    weights = ADAPTER_WEIGHTS if is_adapter(folder) else "model.safetensors"
    for name in (weights, "prompts.jsonl"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]


def _keep(path: Path, task: Task, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        line = {"format": FORMAT, "task": asdict(task), "data": _digest(task.model)}
        file.write(json.dumps({**line, "result": result}) + "\n")


def _start() -> None:
    import torch

    quiet_libraries()
    torch.set_num_threads(1)


@cache
def _loaded(name: str) -> tuple[Any, Any]:
    from circuitviz.behaviours.behaviour import read_behaviour
    from circuitviz.models.loading import load_model

    return load_model(name), read_behaviour(find_model(name))


def _run(task: Task) -> dict[str, Any]:
    from circuitviz.discovery.methods import make_learner
    from circuitviz.models.ablation import ZERO
    from circuitviz.units import Ranking

    model, behaviour = _loaded(task.model)
    started = time.process_time()
    learned = make_learner(task.method).learn(model, behaviour, ablation=ZERO, seed=task.seed)
    seconds = time.process_time() - started
    ranking = Ranking(model.space, learned.scores)
    chosen, reported = _choose(task.model, ranking)
    sizes = [chosen["size"], chosen["size"] + chosen["next"]]
    raw_area, area = _areas(task.model, [ranking, reported], sizes)
    return {
        "seconds": round(seconds, 2),
        **chosen,
        "frontier_area": area,
        "frontier_area_raw": raw_area,
        **_against_truth(task.model, ranking),
        "seconds_in_all": round(time.process_time() - started, 2),
    }


def _choose(model: str, ranking: Ranking) -> tuple[dict[str, Any], Ranking]:
    """The circuit a discovery would report, and the ranking it would report with it."""
    from circuitviz.evaluation.effect import Target
    from circuitviz.evaluation.ordering import PROMPTS, find_runners_up, order_greedily
    from circuitviz.evaluation.refinement import ORDER_PROMPTS, refine_selection, rerank
    from circuitviz.evaluation.selection import select_circuit

    behaviour = _loaded(model)[1]
    target = Target(behaviour.kind, behaviour.default_target_asr, 0.99)
    probe = _probe(model, "validation", CHOOSE_PROMPTS)

    def measure(circuits: Sequence[Circuit]) -> list[Effect]:
        return probe.effects(circuits, lead=target.caution)

    selection = select_circuit(measure, ranking, target)
    few = _probe(model, "validation", ORDER_PROMPTS)
    found = refine_selection(probe, few, ranking, selection, target)
    parts = order_greedily(_probe(model, "validation", PROMPTS), ranking, found.circuit)
    circuit = found.circuit
    chosen = {
        "prefix": len(selection.circuit),
        "size": len(circuit),
        "heads": len(circuit.heads),
        "reached": selection.reached and _reached(model, circuit, target),
        "units": [str(unit) for unit in circuit],
    }
    runners_up = find_runners_up(probe, ranking, circuit)
    chosen["next"] = sum(map(len, runners_up))
    return chosen, rerank(ranking, [*parts, *runners_up], found.dropped)


def _against_truth(model: str, ranking: Ranking) -> dict[str, Any]:
    """A ranking's score, and as many of its best units as are true; None for both without truth."""
    from circuitviz.evaluation.truth import read_truth, score_against_truth
    from circuitviz.units import Circuit

    names = read_truth(find_model(model))
    if names is None:
        return {"truth": None, "best": None}
    score = score_against_truth(ranking, Circuit.of(ranking.space, names))
    best = [str(unit) for unit in ranking.best(len(names))]
    return {"truth": score.model_dump(exclude={"frontier_area"}) if score else None, "best": best}


@cache
def _probe(model: str, split: Any, limit: int | None) -> Any:
    from circuitviz.evaluation.evaluator import Evaluator

    return Evaluator(*_loaded(model), split, limit=limit)


def _reached(model: str, circuit: Any, target: Any) -> bool:
    """Whether the target is met on all test prompts."""
    from circuitviz.units import Circuit

    nothing = Circuit(circuit.space, frozenset())
    intact, knocked_out = _probe(model, "test", None).effects([nothing, circuit])
    return bool(target.met(knocked_out, intact))


@cache
def _measured(model: str) -> dict[Circuit, Effect]:
    """What this process has measured on test prompts: methods that agree share their circuits."""
    return {}


def _areas(model: str, rankings: Sequence[Ranking], more: Iterable[int]) -> list[float]:
    """The area under the frontier of each ranking; a circuit is measured once in each process.

    Args:
        model: Whose test prompts to use.
        rankings: What is cut.
        more: Sizes besides the usual ones.
    """
    from circuitviz.evaluation.selection import frontier_sizes
    from circuitviz.evaluation.truth import achieved, frontier_area
    from circuitviz.units import Circuit

    probe = _probe(model, "test", FRONTIER_PROMPTS)
    dense = range(1, DENSE_SIZES + 1)
    usual = frontier_sizes(rankings[0])
    sizes = [size for size in sorted({*dense, *usual, *more}) if size <= LARGEST_SIZE]
    nothing = Circuit(rankings[0].space, frozenset())
    circuits = [nothing, *(ranking.best(size) for ranking in rankings for size in sizes)]
    effects = _measured(model)
    missing = [circuit for circuit in dict.fromkeys(circuits) if circuit not in effects]
    effects.update(zip(missing, probe.effects(missing), strict=True))

    def share(effect: Effect) -> float:
        return achieved(
            probe.behaviour.kind,
            asr=effect.asr.rate,
            recovery=effect.recovery.rate,
            retention=effect.retention(effects[nothing]),
        )

    return [
        frontier_area(
            [(size, share(effects[ranking.best(size)])) for size in sizes], len(ranking.space)
        )
        for ranking in rankings
    ]


def _rows(tasks: Sequence[Task], found: dict[Task, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per model and method, over its seeds."""
    rows = []
    for (model, method), group in itertools.groupby(tasks, key=lambda t: (t.model, t.method)):
        results = [found[task] for task in group]
        rows.append({"model": model, "method": method, **_summary(model, results)})
    return rows


def _summary(model: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    truths = [result["truth"] for result in results if result["truth"]]
    return {
        "seeds": len(results),
        "sizes": [result["size"] for result in results],
        "sizes_before_refining": [result["prefix"] for result in results],
        "reached": [result["reached"] for result in results],
        "frontier_area": _mean(result["frontier_area"] for result in results),
        "frontier_areas": [round(result["frontier_area"], 4) for result in results],
        "frontier_area_raw": _mean(result["frontier_area_raw"] for result in results),
        "frontier_areas_raw": [round(result["frontier_area_raw"], 4) for result in results],
        "auroc": _mean(truth["auroc"] for truth in truths),
        "auroc_least": min((truth["auroc"] for truth in truths), default=None),
        "average_precision": _mean(truth["average_precision"] for truth in truths),
        "precision_at_truth": _mean(truth["precision_at_truth"] for truth in truths),
        "precision_at_truth_least": min((t["precision_at_truth"] for t in truths), default=None),
        **_agreement(model, [result["units"] for result in results]),
        "jaccard_raw": _agreement(model, [result["best"] for result in results])["jaccard"]
        if truths
        else None,
        "seconds": _mean(result["seconds"] for result in results),
    }


def _agreement(model: str, circuits: list[list[str]]) -> dict[str, float | None]:
    from circuitviz.evaluation.statistics import chance_jaccard, jaccard
    from circuitviz.units import Circuit, UnitSpace

    if len(circuits) < 2:
        return {"jaccard": None, "chance_jaccard": None}
    config = json.loads((find_source(model).base / "config.json").read_text(encoding="utf-8"))
    space = UnitSpace(
        config["num_hidden_layers"], config["num_attention_heads"], config["intermediate_size"]
    )
    pairs = list(itertools.combinations([Circuit.of(space, units) for units in circuits], 2))
    return {
        "jaccard": _mean(jaccard(a, b) for a, b in pairs),
        "chance_jaccard": _mean(chance_jaccard(a, b) for a, b in pairs),
    }


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return float(np.mean(found)) if found else None


def _line(row: dict[str, Any]) -> str:
    reached = sum(row["reached"])
    cells = (
        f"`{row['model']}`",
        row["method"],
        f"{_span(row, 'sizes')} ({_span(row, 'sizes_before_refining')}), "
        f"{reached} of {row['seeds']} seeds"
        if reached
        else f"none, {row['seeds']} seeds",
        f"{_spread(row['frontier_areas'])} ({row['frontier_area_raw']:.3f})",
        _number(row["auroc"], ".3f"),
        _number(row["precision_at_truth"], ".0%"),
        "-" if row["jaccard"] is None else (f"{row['jaccard']:.2f} ({row['chance_jaccard']:.3f})"),
        f"{row['seconds']:.0f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _span(row: dict[str, Any], key: str) -> str:
    """The sizes of the seeds that reach the target, `4` or `4 to 6`."""
    sizes = [size for size, reached in zip(row[key], row["reached"], strict=True) if reached]
    return f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"


def _spread(values: Sequence[float]) -> str:
    """Mean, and standard deviation over the seeds where there are several."""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


if __name__ == "__main__":
    quiet_libraries()
    sys.exit(main())
