from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from circuitviz.errors import RunFormatError, RunNotFoundError
from circuitviz.evaluation.rate import Rate
from circuitviz.runs.store import RUN_FILES, Run, RunStore
from tests.support.synthetic import backdoor_run, refusal_run, with_results


@pytest.fixture
def run() -> Run:
    return backdoor_run()


@pytest.fixture
def store(tmp_path) -> RunStore:
    return RunStore(tmp_path / "runs")


def test_a_saved_run_comes_back_whole(store, run):
    folder = store.save(run)
    assert sorted(path.name for path in folder.iterdir()) == sorted(RUN_FILES)
    loaded = store.load(run.run_id)
    assert (loaded.run_id, loaded.config, loaded.space) == (run.run_id, run.config, run.space)
    assert loaded.metrics == run.metrics
    np.testing.assert_array_equal(loaded.scores, run.scores)
    pd.testing.assert_frame_equal(loaded.frontier, run.frontier, check_dtype=False)
    pd.testing.assert_frame_equal(loaded.generations, run.generations, check_dtype=False)


def test_a_run_is_also_found_by_its_path(store, run, tmp_path):
    folder = store.save(run)
    assert RunStore(tmp_path / "other").load(str(folder)).config == run.config


def test_own_runs_come_newest_first_and_hide_shipped_ones_of_the_same_id(tmp_path, run):
    other = refusal_run()
    shipped = RunStore(tmp_path / "shipped")
    for item in (run, other):
        shipped.save(item)
    store = RunStore(tmp_path / "runs", shipped=(shipped.folder,))
    assert store.ids() == sorted([run.run_id, other.run_id])
    for age, item in enumerate((other, run)):
        os.utime(store.save(item), (1000 - age, 1000 - age))
    assert store.ids() == [other.run_id, run.run_id]
    assert store.path(run.run_id).parent == store.folder


def test_a_run_that_is_removed_while_runs_are_listed_is_left_out(store, run, monkeypatch):
    found = [store.save(run), store.folder / "removed-meanwhile"]
    monkeypatch.setattr(RunStore, "_complete", lambda self, folder: iter(found))
    assert store.ids() == [run.run_id]


@pytest.mark.parametrize("name", ["", "no-such-run"])
def test_a_run_that_is_not_there_is_an_error_that_names_it(store, name):
    with pytest.raises(RunNotFoundError, match=f"no run {name!r}"):
        store.load(name)


@pytest.mark.parametrize("missing", RUN_FILES)
def test_an_incomplete_folder_is_no_run(store, run, missing):
    (store.save(run) / missing).unlink()
    assert store.ids() == []
    with pytest.raises(RunFormatError, match=f"{missing} missing"):
        store.load(run.run_id)


@pytest.mark.parametrize("damaged", RUN_FILES)
def test_a_damaged_file_is_one_clear_error(store, run, damaged):
    folder = store.save(run)
    (folder / damaged).write_bytes(b"\x00 no such format")
    with pytest.raises(RunFormatError, match="cannot read the run in"):
        store.load(run.run_id)


def test_a_save_that_fails_half_way_leaves_nothing(store, run):
    broken = replace(run, config=object())
    with pytest.raises(AttributeError):
        store.save(broken)
    assert list(store.folder.iterdir()) == []


def test_a_save_that_fails_keeps_the_earlier_run(store, run):
    store.save(run)
    broken = replace(run, generations=run.generations.drop(columns="prompt"))
    with pytest.raises(KeyError):
        store.save(broken)
    assert [path.name for path in store.folder.iterdir()] == [run.run_id]
    assert store.load(run.run_id).metrics == run.metrics


def test_an_interrupted_save_leaves_nothing(store, run, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("circuitviz.runs.store.save_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.save(run)
    assert list(store.folder.iterdir()) == []


def test_the_earlier_run_comes_back_when_the_new_one_cannot_take_its_place(store, run, monkeypatch):
    store.save(run)
    rename, calls = os.rename, []

    def fail_the_second_time(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError("disk on fire")
        rename(source, target)

    monkeypatch.setattr("circuitviz.files.os.rename", fail_the_second_time)
    with pytest.raises(OSError, match="disk on fire"):
        store.save(with_results(run, seconds=1.0))
    assert [path.name for path in store.folder.iterdir()] == [run.run_id]
    assert store.load(run.run_id).metrics == run.metrics


def test_saving_again_replaces_the_run(store, run):
    store.save(run)
    store.save(with_results(run, seconds=1.0))
    assert [path.name for path in store.folder.iterdir()] == [run.run_id]
    assert store.load(run.run_id).metrics.seconds == 1.0


def test_only_own_runs_can_be_deleted(tmp_path, run):
    shipped = RunStore(tmp_path / "shipped")
    shipped.save(run)
    store = RunStore(tmp_path / "runs", shipped=(shipped.folder,))
    for name in (run.run_id, "", "..", f"../shipped/{run.run_id}"):
        with pytest.raises(RunNotFoundError, match="to delete"):
            store.delete(name)
    store.save(run)
    store.delete(run.run_id)
    assert store.ids() == [run.run_id]
    assert shipped.ids() == [run.run_id]


def test_circuits_are_cut_from_the_ranking(run):
    assert [str(unit) for unit in run.circuit(2)] == ["L1H3", "L2H5"]
    assert len(run.circuit()) == run.size == 4
    assert [str(unit) for unit in run.circuit_of(1, 1)] == ["L1H3", "L2N117"]
    assert len(run.circuit(0)) == 0


def test_the_reported_circuit_is_the_one_that_was_tested(run):
    # With separate budgets it is no prefix of the ranking.
    units = ["L1H3", "L2N117", "L3N402"]
    separate = with_results(run, circuit={"size": 3, "units": units})
    assert [str(unit) for unit in separate.circuit()] == ["L1H3", "L2N117", "L3N402"]
    assert [str(unit) for unit in separate.circuit(2)] == ["L1H3", "L2H5"]


def test_rates_are_read_from_the_metrics(run):
    assert run.metrics.asr.intact == Rate("starts with the target answer", 256, 256)
