"""`tune`: what it takes, saves and prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuitviz.cli import main
from circuitviz.models.source import find_model
from circuitviz.runs.config import TuningConfig
from circuitviz.runs.store import RunStore
from circuitviz.runs.tuning_store import TuningStore
from tests.fake_library import ONE_LINE, FakeLibrary
from tests.synthetic import backdoor_run


def test_tune_saves_the_tuning_copies_the_model_and_prints_one_object(capsys, runs, tmp_path):
    RunStore(runs).save(backdoor_run())
    library, out = FakeLibrary(), tmp_path / "tuned"
    arguments = ["tune", backdoor_run().run_id, "--mode", "repair", "--out", str(out), "--json"]
    assert main(arguments, library) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert library.tuning == TuningConfig(backdoor_run().run_id, "repair")
    assert found["tuning_id"] == library.tuning.tuning_id()
    assert (found["run_id"], found["model"]) == (backdoor_run().run_id, "fixed-output-planted")
    assert (found["mode"], found["size"], found["out"]) == ("repair", 4, str(out))
    assert found["before"]["safety"]["k"] == 0
    assert found["arms"]["random"]["safety"]["k"] == 31
    # 0 of 256 were safe before: nothing could be kept.
    assert found["arms"]["circuit"]["safety_kept"] is None
    assert (out / "config.json").read_text() == "{}"
    assert TuningStore(runs).ids() == [found["tuning_id"]]
    assert "arm=circuit" in printed.err


def test_a_copy_that_fails_leaves_an_earlier_one_as_it_was(capsys, runs, tmp_path, monkeypatch):
    RunStore(runs).save(backdoor_run())
    out = tmp_path / "tuned"
    out.mkdir()
    # What an export writes, and nothing else.
    marker = json.dumps({"files": ["config.json"]})
    (out / "circuitviz_export.json").write_text(marker)
    (out / "config.json").write_text("earlier")
    arguments = ["tune", backdoor_run().run_id, "--mode", "repair", "--out", str(out)]

    def copytree(source: Path, target: Path, **options: bool) -> None:
        (target / "config.json").write_text("half")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("circuitviz.commands.tune.shutil.copytree", copytree)
        assert main(arguments, FakeLibrary()) == 2
    assert "no space left" in capsys.readouterr().err
    assert (out / "config.json").read_text() == "earlier"
    assert [path.name for path in tmp_path.iterdir() if "tuned" in path.name] == ["tuned"]
    assert main(arguments, FakeLibrary()) == 0
    assert (out / "config.json").read_text() == "{}"


def test_every_option_reaches_the_tuning_and_the_runs_own_size_is_none(runs, tmp_path):
    RunStore(runs).save(backdoor_run())
    for size, wanted in (("4", None), ("2", 2)):
        library = FakeLibrary()
        options = ["--size", size, "--seed", "3", "--epochs", "2", "--learning-rate", "0.01"]
        options += ["--weight-decay", "0.5", "--data", str(tmp_path / "lessons.jsonl")]
        run = str(runs / backdoor_run().run_id)
        assert main(["tune", run, "--mode", "repair", *options], library) == 0
        # A run of this folder is called by its id, however it was named.
        assert library.tuning == TuningConfig(
            backdoor_run().run_id,
            "repair",
            size=wanted,
            seed=3,
            epochs=2,
            learning_rate=0.01,
            data=str(tmp_path / "lessons.jsonl"),
            weight_decay=0.5,
        )


def test_a_run_from_elsewhere_is_called_by_its_path(tmp_path):
    folder = RunStore(tmp_path / "elsewhere").save(backdoor_run())
    library = FakeLibrary()
    assert main(["tune", str(folder), "--mode", "repair"], library) == 0
    assert library.tuning is not None
    assert library.tuning.run == str(folder)


def test_tune_for_people(capsys, runs):
    RunStore(runs).save(backdoor_run())
    assert main(["tune", backdoor_run().run_id, "--mode", "repair"], FakeLibrary()) == 0
    lines = capsys.readouterr().out.splitlines()
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
    capsys, runs, tmp_path, monkeypatch, options, reason
):
    RunStore(runs).save(backdoor_run())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    library = FakeLibrary()
    assert main(["tune", backdoor_run().run_id, "--mode", "repair", *options], library) == 2
    error = capsys.readouterr().err
    assert ONE_LINE.fullmatch(error)
    assert reason in error
    assert library.tuning is None


def test_a_tuning_that_is_stopped_keeps_what_it_has(capsys, runs):
    RunStore(runs).save(backdoor_run())
    library = FakeLibrary(error=KeyboardInterrupt())
    assert main(["tune", backdoor_run().run_id, "--mode", "repair"], library) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert library.tuning is not None
    assert TuningStore(runs).kept(library.tuning).is_dir()
    assert TuningStore(runs).ids() == []
