import json
import os

import pytest

from circuitviz.errors import ConfigError, RunNotFoundError
from circuitviz.runs.store import RunStore
from circuitviz.runs.unit_sets import LONGEST_NAME, SETS, UnitSetStore

RUN = "fixed-output-nested-s0-12345678"


@pytest.fixture
def store(tmp_path):
    return UnitSetStore(tmp_path / "runs")


def test_a_saved_set_comes_back_as_it_was(store):
    saved = store.save(RUN, "  without the\tearly head ", ["L2N117", "L1H3"], "mean")
    assert saved.name == "without the early head"
    assert store.sets(RUN) == [saved]
    again = store.load(RUN, "without the early head")
    assert (again.units, again.ablation) == ({"L1H3", "L2N117"}, "mean")


def test_a_set_may_be_empty_and_a_name_is_used_once(store):
    store.save(RUN, "mine", ["L1H3"], "zero")
    store.save(RUN, "mine", [], "zero")
    assert [one.units for one in store.sets(RUN)] == [frozenset()]


def test_sets_belong_to_their_run_and_are_no_runs(store):
    store.save(RUN, "mine", ["L1H3"], "zero")
    assert store.sets("another") == []
    assert RunStore(store.folder).ids() == []
    with pytest.raises(RunNotFoundError, match="'mine'"):
        store.load("another", "mine")


@pytest.mark.parametrize(
    "name",
    [
        "../../escape",
        "/etc/passwd",
        "CON",
        "a/b\\c",
        ".hidden",
        "<script>",
        "ünï ☂",
        "x" * 60,
        "%00",
    ],
)
def test_a_hostile_name_stays_in_its_folder(store, tmp_path, name):
    store.save(RUN, name, ["L1H3"], "zero")
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.parent == store.folder / SETS / RUN
    assert store.load(RUN, name).name == name
    store.delete(RUN, name)
    assert store.sets(RUN) == []


@pytest.mark.parametrize("run", ["..", "../..", "a/b", "", "."])
def test_a_hostile_run_stays_in_the_folder_of_sets(store, tmp_path, run):
    store.save(run, "mine", ["L1H3"], "zero")
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.parent.parent == store.folder / SETS


@pytest.mark.parametrize("name", ["", "  ", "x" * (LONGEST_NAME + 1), "a\x00b", "a\u202eb"])
def test_a_name_that_cannot_be_read_is_refused(store, name):
    with pytest.raises(ConfigError):
        store.save(RUN, name, ["L1H3"], "zero")
    assert not store.folder.exists()


def test_names_that_look_alike_as_files_are_told_apart(store):
    store.save(RUN, "a b", ["L1H1"], "zero")
    store.save(RUN, "A-B", ["L1H2"], "zero")
    assert store.load(RUN, "a b").units == {"L1H1"}
    assert store.load(RUN, "A-B").units == {"L1H2"}


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(store, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ConfigError, match=r"'mine'.*No space left on device; free some space"):
        store.save(RUN, "mine", ["L1H3"], "zero")
    assert [path for path in store.folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"name": "x"}',
        '{"name": "x", "units": ["L1X3"], "ablation": "zero", "created": ""}',
    ],
)
def test_files_that_are_no_sets_are_passed_over(store, text):
    saved = store.save(RUN, "mine", ["L1H3"], "zero")
    (store.folder / SETS / RUN / "broken.json").write_text(text)
    assert store.sets(RUN) == [saved]


def test_the_file_is_plain_json(store):
    store.save(RUN, "mine", ["L2N117", "L1H3"], "zero")
    (path,) = (store.folder / SETS / RUN).glob("mine-*.json")
    data = json.loads(path.read_text())
    assert data["units"] == ["L1H3", "L2N117"]
    assert data["run"] == RUN
