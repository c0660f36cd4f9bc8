"""`knockout`: what it takes and prints."""

from __future__ import annotations

import json

from circuitviz.cli import main
from circuitviz.errors import ConfigError
from circuitviz.evaluation.rate import Rate
from circuitviz.runs.store import RunStore
from tests.fake_library import ONE_LINE, FakeLibrary
from tests.synthetic import backdoor_run


def test_knockout_says_what_was_written_and_that_it_was_checked(capsys, runs, tmp_path):
    RunStore(runs).save(backdoor_run())
    out = tmp_path / "out"
    assert main(["knockout", backdoor_run().run_id, "--out", str(out)], FakeLibrary()) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines() == [
        f"run           {backdoor_run().run_id}",
        "model         fixed-output-planted",
        "circuit       4 of 2080 units (0.19%)",
        "units         L1H3 L2H5 L2N117 L3N402",
        "ablation      zero",
        f"out           {out}",
        "files         config.json model.safetensors",
        "verified      8 of 8 test prompts answered as by the hooked model",
    ]


def test_knockout_as_json_takes_a_size_and_an_ablation(capsys, runs, tmp_path):
    RunStore(runs).save(backdoor_run())
    out = tmp_path / "out"
    arguments = ["knockout", backdoor_run().run_id, "--out", str(out), "--size", "2"]
    assert main([*arguments, "--ablation", "mean", "--json"], FakeLibrary()) == 0
    assert json.loads(capsys.readouterr().out) == {
        "run_id": backdoor_run().run_id,
        "model": "fixed-output-planted",
        "out": str(out),
        "size": 2,
        "units": ["L1H3", "L2H5"],
        "ablation": "mean",
        "files": ["config.json", "model.safetensors"],
        "verified": {"k": 8, "n": 8},
    }


def test_knockout_says_when_the_written_model_answers_otherwise(capsys, runs, tmp_path):
    RunStore(runs).save(backdoor_run())
    library = FakeLibrary()
    library.verified = Rate("same greedy answer", 6, 8)
    assert main(["knockout", backdoor_run().run_id, "--out", str(tmp_path / "out")], library) == 0
    printed = capsys.readouterr()
    assert "6 of 8 test prompts" in printed.out
    assert ONE_LINE.fullmatch(printed.err)
    assert "2 of 8 answers of the written model are not those" in printed.err


def test_what_knockout_cannot_do_is_one_line(capsys, runs, tmp_path):
    RunStore(runs).save(backdoor_run())
    arguments = ["knockout", backdoor_run().run_id, "--out", str(tmp_path / "out")]
    refusing = FakeLibrary(error=ConfigError("out holds notes.txt; name a new folder"))
    assert main(arguments, refusing) == 2
    assert main([*arguments, "--ablation", "resample"], FakeLibrary()) == 2
    assert main(["knockout", backdoor_run().run_id], FakeLibrary()) == 2
    assert main(["knockout", "no-such-run", "--out", "x"], FakeLibrary()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines(keepends=True)
    assert len(lines) == 4
    assert all(ONE_LINE.fullmatch(line) for line in lines)
    assert not (tmp_path / "out").exists()
