from __future__ import annotations

import os
from dataclasses import replace
from math import isnan, nan

import pandas as pd
import pytest

from circuitviz.errors import RunFormatError, RunNotFoundError
from circuitviz.evaluation.rate import Rate
from circuitviz.runs.tuning_store import TUNING_FILES, CurvePoint, TuningStore, curve_frame
from tests.support.synthetic import backdoor_run, with_results
from tests.support.synthetic_tuning import protect_tuning, repair_tuning


@pytest.fixture
def store(tmp_path) -> TuningStore:
    return TuningStore(tmp_path / "runs")


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "weights").write_text("some")
    return folder


def test_a_saved_tuning_comes_back_whole_and_takes_its_checkpoint(store, checkpoint):
    tuning = replace(repair_tuning(), checkpoint=checkpoint)
    folder = store.save(tuning)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*TUNING_FILES, "checkpoint"])
    loaded = store.load(tuning.tuning_id)
    assert (loaded.config, loaded.metrics.arms.keys()) == (
        tuning.config,
        tuning.metrics.arms.keys(),
    )
    pd.testing.assert_frame_equal(loaded.curve, tuning.curve, check_dtype=False)
    pd.testing.assert_frame_equal(loaded.answers, tuning.answers, check_dtype=False)
    assert loaded.checkpoint == folder / "checkpoint"
    assert (folder / "checkpoint" / "weights").read_text() == "some"
    assert not checkpoint.exists()


def test_a_tuning_that_is_removed_while_tunings_are_listed_is_left_out(store, monkeypatch):
    found = [store.save(repair_tuning()), store.folder / "removed-meanwhile"]
    monkeypatch.setattr(TuningStore, "_complete", lambda self, folder: iter(found))
    assert store.ids() == [repair_tuning().tuning_id]


def test_a_save_that_fails_leaves_the_checkpoint_where_it_was(store, checkpoint, monkeypatch):
    tuning = replace(repair_tuning(), checkpoint=checkpoint)

    def fail(*arguments):
        raise OSError("disk on fire")

    monkeypatch.setattr("circuitviz.files._replace", fail)
    with pytest.raises(OSError, match="disk on fire"):
        store.save(tuning)
    assert (checkpoint / "weights").read_text() == "some"
    assert list(store.folder.iterdir()) == []


def test_saving_a_loaded_tuning_again_keeps_its_checkpoint(store, checkpoint):
    store.save(replace(repair_tuning(), checkpoint=checkpoint))
    loaded = store.load(repair_tuning().tuning_id)
    store.save(with_results(loaded, seconds=1.0))
    again = store.load(loaded.tuning_id)
    assert again.metrics.seconds == 1.0
    assert again.checkpoint is not None


def test_saving_removes_what_was_kept_of_this_tuning_alone(store):
    mine, other = store.kept(repair_tuning().config), store.kept(protect_tuning().config)
    for folder in (mine, other):
        folder.mkdir(parents=True)
    store.save(repair_tuning())
    assert not mine.exists()
    assert other.exists()


def test_tunings_come_newest_first_and_by_run(store):
    tunings = [repair_tuning(), repair_tuning(seed=1), protect_tuning()]
    for age, tuning in enumerate(tunings):
        os.utime(store.save(tuning), (1000 - age, 1000 - age))
    assert store.ids() == [tuning.tuning_id for tuning in tunings]
    assert store.ids_of(backdoor_run().run_id) == [one.tuning_id for one in tunings[:2]]
    assert store.ids_of("another-run") == []


def test_shipped_tunings_are_listed_after_own_ones_and_cannot_be_deleted(tmp_path):
    shipped = TuningStore(tmp_path / "shipped")
    shipped.save(repair_tuning())
    store = TuningStore(tmp_path / "runs", shipped=(tmp_path / "shipped",))
    store.save(protect_tuning())
    assert store.ids() == [protect_tuning().tuning_id, repair_tuning().tuning_id]
    for name in (repair_tuning().tuning_id, "", "..", "../tunings"):
        with pytest.raises(RunNotFoundError, match="to delete"):
            store.delete(name)
    store.delete(protect_tuning().tuning_id)
    assert store.ids() == [repair_tuning().tuning_id]


@pytest.mark.parametrize("missing", TUNING_FILES)
def test_an_incomplete_folder_is_no_tuning(store, missing):
    (store.save(repair_tuning()) / missing).unlink()
    assert store.ids() == []
    with pytest.raises(RunFormatError, match=f"{missing} missing"):
        store.load(repair_tuning().tuning_id)


@pytest.mark.parametrize("damaged", TUNING_FILES)
@pytest.mark.parametrize("content", [b"\x00 no such format", b"{}", b"[]"])
def test_a_damaged_file_is_one_clear_error(store, damaged, content):
    folder = store.save(repair_tuning())
    (folder / damaged).write_bytes(content)
    with pytest.raises(RunFormatError, match="cannot read the tuning in") as caught:
        store.load(repair_tuning().tuning_id)
    assert "\n" not in str(caught.value)


def test_a_tuning_that_is_not_there_is_an_error_that_names_it(store):
    with pytest.raises(RunNotFoundError, match="no tuning 'nothing'"):
        store.load("nothing")


def test_arms_come_in_their_order_with_rates_and_numbers():
    tuning = repair_tuning()
    assert tuning.arms == ["circuit", "full", "random", "knock-out"]
    assert tuning.metrics.arms["random"].safety.k == 31
    assert list(tuning.states) == ["before", *tuning.arms]
    assert (tuning.run_id, tuning.size) == (backdoor_run().run_id, 4)


def test_points_become_rows_in_which_a_missing_loss_is_none():
    point = CurvePoint("full", 0, nan, Rate("j", 1, 4), Rate("j", 2, 4))
    assert point.row() == {
        "arm": "full",
        "epoch": 0,
        "loss": None,
        "safety_k": 1,
        "safety_n": 4,
        "helpfulness_k": 2,
        "helpfulness_n": 4,
    }
    frame = curve_frame([point, CurvePoint("full", 1, 0.5, point.safety, point.helpfulness)])
    assert isnan(frame["loss"][0])
    assert frame["loss"][1] == 0.5
