"""`tune` and `knockout`: what they take, save and print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuitviz.errors import ConfigError
from circuitviz.evaluation.rate import Rate
from circuitviz.models.source import find_model
from circuitviz.runs.config import TuningConfig
from circuitviz.runs.store import RunStore
from circuitviz.runs.tuning_store import TuningStore
from tests.support.fake_backend import ONE_LINE, FakeBackend
from tests.support.synthetic import backdoor_run

REPAIR = ("--mode", "repair")


def test_tune_saves_the_tuning_copies_the_model_and_prints_one_object(call, saved, runs, tmp_path):
    backend, out = FakeBackend(), tmp_path / "tuned"
    printed = call("tune", saved, *REPAIR, "--out", out, "--json", backend=backend)
    result = json.loads(printed.out)
    assert backend.tuning == TuningConfig(saved, "repair")
    assert result["tuning_id"] == backend.tuning.tuning_id()
    assert (result["run_id"], result["model"]) == (saved, "fixed-output-planted")
    assert (result["mode"], result["size"], result["out"]) == ("repair", 4, str(out))
    assert result["before"]["safety"]["k"] == 0
    assert result["arms"]["random"]["safety"]["k"] == 31
    # 0 of 256 were safe before: nothing could be kept.
    assert result["arms"]["circuit"]["safety_kept"] is None
    assert (out / "config.json").read_text() == "{}"
    assert TuningStore(runs).ids() == [result["tuning_id"]]
    assert "arm=circuit" in printed.err


def test_a_copy_that_fails_leaves_an_earlier_one_as_it_was(call, saved, tmp_path, monkeypatch):
    out = tmp_path / "tuned"
    out.mkdir()
    # What an export writes, and nothing else.
    (out / "circuitviz_export.json").write_text(json.dumps({"files": ["config.json"]}))
    (out / "config.json").write_text("earlier")

    def copytree(source: Path, target: Path, **options: bool) -> None:
        (target / "config.json").write_text("half")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("circuitviz.commands.tune.shutil.copytree", copytree)
        assert "no space left" in call("tune", saved, *REPAIR, "--out", out, code=2).err
    assert (out / "config.json").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir() if "tuned" in path.name] == ["tuned"]
    call("tune", saved, *REPAIR, "--out", out)
    assert (out / "config.json").read_text() == "{}"


@pytest.mark.parametrize(("size", "kept"), [(4, None), (2, 2)])
def test_every_option_reaches_the_tuning_and_the_runs_own_size_is_none(
    call, saved, runs, tmp_path, size, kept
):
    backend = FakeBackend()
    options = ("--size", size, "--seed", 3, "--epochs", 2, "--learning-rate", 0.01)
    lessons = tmp_path / "lessons.jsonl"
    options += ("--weight-decay", 0.5, "--data", lessons)
    # A run of this folder is called by its id, however it was named.
    call("tune", runs / saved, *REPAIR, *options, backend=backend)
    assert backend.tuning == TuningConfig(
        saved, "repair", kept, 3, 2, 0.01, str(lessons), weight_decay=0.5
    )


def test_a_run_from_elsewhere_is_called_by_its_path(call, tmp_path):
    folder = RunStore(tmp_path / "elsewhere").save(backdoor_run())
    backend = FakeBackend()
    call("tune", folder, *REPAIR, backend=backend)
    assert backend.tuning == TuningConfig(str(folder), "repair")


def test_tune_for_people(call, saved):
    lines = call("tune", saved, *REPAIR).out.splitlines()
    assert lines[3] == "circuit       4 units: L1H3 L2H5 L2N117 L3N402"
    table = {line.split()[0]: line for line in lines[6:]}
    assert list(table) == ["ARM", "before", "circuit", "full", "random", "knock-out"]
    assert "100.0% (256 of 256, 98.5% to 100.0%)" in table["circuit"]
    assert table["circuit"].endswith("0.24%    41.5")
    # Triggered prompts: ordinary ones are what helpfulness counts.
    assert "TRIGGERED PROMPTS ANSWERED RIGHT" in table["ARM"]
    assert "ORDINARY" not in table["ARM"]
    assert table["before"].split()[-2:] == ["-", "-"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--size", "0"], "--size must be between 1 and 2080"),
        (["--size", "2081"], "--size must be between 1 and 2080"),
        (["--epochs", "0"], "epochs must be a whole number"),
        (["--out", "full"], "full holds thesis.tex, which no earlier export wrote"),
        (["--out", "file"], "file is a file"),
        (["--out", "file/inner"], "is not a writable folder"),
        (["--out", str(find_model("fixed-output-planted"))], "is the model itself"),
    ],
)
def test_tune_refuses_what_cannot_work_before_it_starts(
    call, saved, tmp_path, monkeypatch, options, reason
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    backend = FakeBackend()
    error = call("tune", saved, *REPAIR, *options, backend=backend, code=2).err
    assert ONE_LINE.fullmatch(error)
    assert reason in error
    assert backend.tuning is None


def test_a_tuning_that_is_stopped_keeps_what_it_has(call, saved, runs):
    backend = FakeBackend(error=KeyboardInterrupt())
    printed = call("tune", saved, *REPAIR, backend=backend, code=130)
    assert "the same command goes on" in printed.err
    assert backend.tuning is not None
    assert TuningStore(runs).kept(backend.tuning).is_dir()
    assert TuningStore(runs).ids() == []


def test_knockout_says_what_was_written_and_that_it_was_checked(call, saved, tmp_path):
    out = tmp_path / "out"
    printed = call("knockout", saved, "--out", out)
    assert printed.err == ""
    assert printed.out.splitlines() == [
        f"run           {saved}",
        "model         fixed-output-planted",
        "circuit       4 of 2080 units (0.19%)",
        "units         L1H3 L2H5 L2N117 L3N402",
        "ablation      zero",
        f"out           {out}",
        "files         config.json model.safetensors",
        "verified      8 of 8 test prompts answered as by the hooked model",
    ]


def test_knockout_as_json_takes_a_size_and_an_ablation(call, saved, tmp_path):
    options = ("--out", tmp_path / "out", "--size", 2, "--ablation", "mean", "--json")
    assert json.loads(call("knockout", saved, *options).out) == {
        "run_id": saved,
        "model": "fixed-output-planted",
        "out": str(tmp_path / "out"),
        "size": 2,
        "units": ["L1H3", "L2H5"],
        "ablation": "mean",
        "files": ["config.json", "model.safetensors"],
        "verified": {"k": 8, "n": 8},
    }


def test_knockout_says_when_the_written_model_answers_otherwise(call, saved, tmp_path):
    backend = FakeBackend()
    backend.verified = Rate("same greedy answer", 6, 8)
    printed = call("knockout", saved, "--out", tmp_path / "out", backend=backend)
    assert "6 of 8 test prompts" in printed.out
    assert ONE_LINE.fullmatch(printed.err)
    assert "2 of 8 answers of the written model are not those" in printed.err


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--out", "out"], ConfigError("out holds notes.txt; name a new folder")),
        (["--out", "out", "--ablation", "resample"], None),
        ([], None),
    ],
)
def test_what_knockout_cannot_do_is_one_line(call, saved, tmp_path, monkeypatch, options, error):
    monkeypatch.chdir(tmp_path)
    printed = call("knockout", saved, *options, backend=FakeBackend(error=error), code=2)
    assert printed.out == ""
    assert ONE_LINE.fullmatch(printed.err)
    assert not (tmp_path / "out").exists()
