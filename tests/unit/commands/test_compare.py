"""`compare`: what it takes and prints."""

from __future__ import annotations

import json
from pathlib import Path

from circuitviz.cli import main
from circuitviz.runs.store import RunStore
from tests.fake_library import ONE_LINE
from tests.synthetic import backdoor_run, refusal_run


def save_two(runs: Path) -> list[str]:
    """Two runs that differ in their seed: all of 4 units shared."""
    saved = [backdoor_run(), backdoor_run(seed=1)]
    for run in saved:
        RunStore(runs).save(run)
    return [run.run_id for run in saved]


def test_compare_for_people(capsys, runs):
    first, second = save_two(runs)
    assert main(["compare", first, second]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == "RUN SIZE HEADS NEURONS ASR UTILITY RECOVERY".split()
    row = f"1 {first} 4 2 2 0.0% (0 of 256) 100.0% 100.0% (256 of 256)"
    assert " ".join(lines[1].split()) == row
    assert lines[2].startswith(f"2  {second}  4 ")
    assert " ".join(lines[5].split()).startswith("1, 2 4 0 0 1.000 0.0")
    assert lines[5].endswith("+0.000 (+0.000 to +0.000)  1")
    # Lines below each other begin their columns at the same place.
    assert lines[0].index("SIZE") == lines[1].index("4 ", lines[1].index(first) + len(first))
    assert lines[7].startswith("Seeds 0 and 1 share 4 of 4 units; their Jaccard index is 1.000")
    assert len(lines) == 8


def test_compare_as_json_takes_ids_and_paths(capsys, runs):
    first, second = save_two(runs)
    assert main(["compare", first, str(runs / second), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["run_id"] for run in found["runs"]] == [first, second]
    assert found["settings"] == {"seed": [0, 1]}
    assert found["mean_jaccard"] == 1.0
    assert found["stable"] == ["L1H3", "L2H5", "L2N117", "L3N402"]
    assert found["pairs"][0]["mcnemar"]["p"] == 1.0


def test_compare_says_what_could_not_be_paired(capsys, runs):
    ids = [run.run_id for run in (backdoor_run(), refusal_run())]
    for run in (backdoor_run(), refusal_run()):
        RunStore(runs).save(run)
    assert main(["compare", *ids]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[5].split()[-3:] == ["other", "prompts", "-"]
    assert lines[-1].startswith("The runs are of different models")


def test_compare_refuses_one_run_and_the_same_run_twice(capsys, runs):
    first, _ = save_two(runs)
    for given, reason in (([first], "2 to 6 runs; got 1"), ([first, first], "with itself")):
        assert main(["compare", *given]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert ONE_LINE.fullmatch(printed.err)
        assert reason in printed.err
    assert main(["compare", first, "no-such-run"]) == 2
    assert "no run 'no-such-run'" in capsys.readouterr().err
