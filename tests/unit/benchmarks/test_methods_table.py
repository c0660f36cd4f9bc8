"""The benchmark of methods: what is run, what is kept, and what the table says."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter

import pytest

from benchmarks import methods
from benchmarks.methods import Task
from circuitviz.discovery.methods import METHODS

PLANTED = "fixed-output-planted"


def result(units: list[str], area: float, raw: float, best: list[str] | None) -> dict:
    score = {"auroc": 0.5, "average_precision": 0.25, "precision_at_truth": 0.5}
    return {
        "seconds": 2.0,
        "prefix": 3,
        "size": len(units),
        "heads": len(units),
        "reached": True,
        "units": units,
        "frontier_area": area,
        "frontier_area_raw": raw,
        "truth": score if best else None,
        "best": best,
    }


def tasks(**options) -> list[Task]:
    usual = {"quick": False, "models": [PLANTED], "methods": list(METHODS), "seeds": None}
    return list(methods._tasks(Namespace(**{**usual, **options})))


def test_slow_methods_have_fewer_seeds_and_those_without_a_seed_one():
    seeds = Counter(task.method for task in tasks())
    expected = {"nested": 5, "l1": 2, "attribution": 3, "single-unit": 1, "activation": 1}
    assert seeds.keys() == METHODS.keys()
    assert seeds.items() >= expected.items()
    assert {task.seed for task in tasks(models=["refusal"])} == {0}
    given = tasks(methods=["nested", "activation"], seeds=[3, 4])
    assert [(task.method, task.seed) for task in given] == [
        ("nested", 3),
        ("nested", 4),
        ("activation", 3),
    ]


def test_results_are_read_back_and_those_of_another_format_or_other_data_are_not(tmp_path):
    path, task = tmp_path / "kept.jsonl", Task(PLANTED, "random", 0)
    methods._keep(path, task, {"size": 1})
    line = json.loads(path.read_text())
    old = {key: value for key, value in line.items() if key != "format"}
    changed = (old, {**line, "format": methods.FORMAT - 1}, {**line, "data": "another"})
    with path.open("a") as file:
        for seed, other in enumerate(changed, start=1):
            file.write(json.dumps({**other, "task": {**line["task"], "seed": seed}}) + "\n")
        file.write('{"format": 2, "task')
    assert methods._read(path) == {task: {"size": 1}}


def test_a_row_has_both_areas_and_compares_circuits_and_raw_prefixes():
    found = [
        result(["L0H0", "L0H1"], 0.75, 0.25, ["L0H0", "L0H2"]),
        result(["L0H0", "L0H1"], 0.25, 0.75, ["L0H1", "L0H2"]),
    ]
    row = methods._summary(PLANTED, found)
    assert (row["frontier_area"], row["frontier_area_raw"]) == (0.5, 0.5)
    assert (row["jaccard"], row["jaccard_raw"]) == (1.0, pytest.approx(1 / 3))
    assert (row["average_precision"], row["auroc"]) == (0.25, 0.5)
    cells = methods._line({"model": PLANTED, "method": "nested", **row}).split(" | ")
    # The spread of 0.75 and 0.25 is sqrt(1/8).
    assert cells[2:4] == ["2 (3), 2 of 2 seeds", "0.500 ± 0.354 (0.500)"]
    assert len(cells) == methods.HEADER.count(" | ") + 1


def test_one_seed_and_no_truth_leave_gaps():
    row = methods._summary("refusal", [result(["L0H0"], 0.5, 0.25, None)])
    assert row["jaccard"] is row["jaccard_raw"] is row["auroc"] is None
    cells = methods._line({"model": "refusal", "method": "nested", **row}).split(" | ")
    assert cells[3:7] == ["0.500 (0.250)", "-", "-", "-"]
