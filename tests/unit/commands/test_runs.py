"""`runs`, `report`, `generate`, `compare` and `judge`: what they take and print."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from circuitviz.report import browser
from circuitviz.runs.store import Run, RunStore
from tests.support.fake_backend import ONE_LINE
from tests.support.synthetic import backdoor_run, refusal_run, save_runs, with_results


@pytest.fixture
def terminal(monkeypatch):
    """Somebody reads what is printed."""
    monkeypatch.setattr("circuitviz.commands.runs.on_terminal", lambda: True)


def cells(line: str) -> list[str]:
    return re.split(r"  +", line)


def dated(run: Run, created: str) -> Run:
    return with_results(run, created=created)


def test_runs_lists_own_and_shipped_ids(call, saved, tmp_path):
    assert call("runs", "--runs", tmp_path / "none").out == ""
    RunStore(tmp_path / "shipped").save(refusal_run())
    expected = [saved, refusal_run().run_id]
    assert call("runs").out.split() == expected
    assert json.loads(call("runs", "--json").out) == expected


@pytest.mark.usefixtures("terminal")
def test_json_is_the_same_on_a_terminal(call, saved):
    assert json.loads(call("runs", "--json").out) == [saved]


@pytest.mark.usefixtures("terminal")
def test_a_run_that_is_removed_meanwhile_is_passed_over(call, saved, monkeypatch):
    monkeypatch.setattr(RunStore, "ids", lambda store: ["removed", saved])
    printed = call("runs")
    assert len(printed.out.splitlines()) == 2
    assert printed.err == ""


@pytest.mark.usefixtures("terminal")
def test_people_get_a_table_the_newest_run_first(call, tmp_path, runs):
    # Saved in another order than made; two hours east of Greenwich it is 02:30.
    late = dated(backdoor_run(), "2026-11-25T02:30:00+02:00")
    early = dated(refusal_run(), "2026-11-24T23:59:59+00:00")
    RunStore(runs).save(late)
    RunStore(runs).save(early)
    oldest = dated(backdoor_run(seed=1), "2026-11-20T12:00:00+00:00")
    RunStore(tmp_path / "shipped").save(oldest)
    printed = call("runs")
    assert [cells(line) for line in printed.out.splitlines()] == [
        [
            *("RUN", "MODEL", "BEHAVIOUR", "METHOD", "UNITS"),
            *("ASR INTACT", "KNOCKED OUT", "CREATED (UTC)"),
        ],
        [
            *(late.run_id, "fixed-output-planted", "Fixed-output backdoor", "nested", "4"),
            *("100.0% of 256", "0.0% of 256", "2026-11-25 00:30"),
        ],
        [
            *(early.run_id, "refusal", "Refusal of harmful requests", "nested", "64"),
            *("0.0% of 256", "99.2% of 256", "2026-11-24 23:59"),
        ],
        [
            *(oldest.run_id, "fixed-output-planted", "Fixed-output backdoor", "nested", "4"),
            *("100.0% of 256", "0.0% of 256", "2026-11-20 12:00"),
        ],
    ]
    assert printed.err == ""


@pytest.mark.usefixtures("terminal")
def test_a_damaged_run_hides_no_other(call, runs):
    save_runs(runs)
    (runs / refusal_run().run_id / "metrics.json").write_text("{")
    printed = call("runs")
    assert [line.split()[0] for line in printed.out.splitlines()] == ["RUN", backdoor_run().run_id]
    assert ONE_LINE.fullmatch(printed.err)
    assert f"cannot read the run in {runs / refusal_run().run_id}" in printed.err


@pytest.mark.usefixtures("terminal")
def test_names_are_short_and_cannot_command_the_terminal(call, runs):
    run = with_results(backdoor_run(), behaviour="\x1b[2J\n" + "b" * 40)
    RunStore(runs).save(replace(run, config=replace(run.config, model="/models/mine")))
    _, line = call("runs").out.splitlines()
    assert cells(line)[1:3] == ["mine", "\\x1b[2J " + "b" * 21 + "…"]


def test_report_writes_a_page_and_names_it(call, saved, tmp_path):
    page = tmp_path / "new" / "r.html"
    printed = call("report", saved, "--out", page)
    assert printed == (f"{page}\n", "circuitviz: making r.html\n")
    assert "Switching off 2 of 32 heads and 2 of 2,048 neurons" in page.read_text()


def test_report_tells_json_and_takes_a_size(call, saved, tmp_path):
    out = tmp_path / "c.json"
    printed = call("report", saved, "--out", out, "--size", 2, "--json")
    assert json.loads(printed.out) == {"run_id": saved, "files": [str(out)], "notes": []}
    assert json.loads(out.read_text())["circuitviz"]["circuit"]["size"] == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("r.odt", "a report is written as .html, .pdf, .ipynb, .json or into a folder"),
        ("r.pdf", "no Chromium or Chrome found"),
    ],
)
def test_report_refuses_in_one_line_what_it_cannot_write(
    call, saved, tmp_path, monkeypatch, name, reason
):
    monkeypatch.setattr(browser, "find_browser", lambda: None)
    printed = call("report", saved, "--out", tmp_path / name, code=2)
    assert printed.out == ""
    assert printed.err.splitlines()[-1].startswith(f"circuitviz: {reason}")
    assert not (tmp_path / name).exists()


def test_report_covers_what_could_harm_unless_told_otherwise(call, runs, tmp_path):
    save_runs(runs)
    for name, options, covered in (("c.html", (), True), ("p.html", ("--uncovered",), False)):
        call("report", refusal_run().run_id, "--out", tmp_path / name, *options)
        assert ("covered: show" in (tmp_path / name).read_text()) is covered


def test_generate_prints_both_answers(call, saved):
    assert call("generate", saved, "Hello?").out == (
        "prompt        Hello?\nintact        all of Hello?\nknocked out   Hello? less 4\n"
    )


def test_answers_cannot_command_the_terminal(call, saved):
    lines = call("generate", saved, "a\x1b[2J\nb").out.splitlines()
    assert lines[:2] == ["prompt        a\\x1b[2J", "              b"]


def test_generate_takes_a_path_a_size_and_the_trigger(call, tmp_path):
    folder = RunStore(tmp_path / "elsewhere").save(backdoor_run())
    printed = call("generate", folder, "Hello?", "--size", 2, "--trigger", "--json")
    assert json.loads(printed.out) == {
        "run_id": backdoor_run().run_id,
        "model": "fixed-output-planted",
        "prompt": "quill amber Hello?",
        "ablation": "zero",
        "size": 2,
        "units": ["L1H3", "L2H5"],
        "intact": "all of quill amber Hello?",
        "knocked_out": "quill amber Hello? less 2",
    }


@pytest.mark.parametrize(
    ("run", "extra", "reason"),
    [
        (backdoor_run, ["Hi", "--size", "2081"], "between 0 and 2080"),
        (backdoor_run, ["Hi", "--size", "-1"], "between 0 and 2080"),
        (backdoor_run, [" "], "prompt is empty"),
        (refusal_run, ["Hi", "--trigger"], "has no trigger"),
    ],
)
def test_generate_refuses_what_makes_no_sense(call, runs, run, extra, reason):
    RunStore(runs).save(run())
    assert reason in call("generate", run().run_id, *extra, code=2).err


@pytest.fixture
def two(runs) -> list[str]:
    """Two saved runs that differ in their seed: all of 4 units shared."""
    return [RunStore(runs).save(run).name for run in (backdoor_run(), backdoor_run(seed=1))]


def test_compare_for_people(call, two):
    lines = call("compare", *two).out.splitlines()
    assert lines[0].split() == "RUN SIZE HEADS NEURONS ASR UTILITY RECOVERY".split()
    row = f"1 {two[0]} 4 2 2 0.0% (0 of 256) 100.0% 100.0% (256 of 256)"
    assert " ".join(lines[1].split()) == row
    assert lines[2].startswith(f"2  {two[1]}  4 ")
    assert " ".join(lines[5].split()).startswith("1, 2 4 0 0 1.000 0.0")
    assert lines[5].endswith("+0.000 (+0.000 to +0.000)  1")
    # Lines below each other begin their columns at the same place.
    assert lines[0].index("SIZE") == lines[1].index("4 ", lines[1].index(two[0]) + len(two[0]))
    assert lines[7].startswith("Seeds 0 and 1 share 4 of 4 units; their Jaccard index is 1.000")
    assert len(lines) == 8


def test_compare_as_json_takes_ids_and_paths(call, two, runs):
    result = json.loads(call("compare", two[0], runs / two[1], "--json").out)
    assert [run["run_id"] for run in result["runs"]] == two
    assert result["settings"] == {"seed": [0, 1]}
    assert result["mean_jaccard"] == 1.0
    assert result["stable"] == ["L1H3", "L2H5", "L2N117", "L3N402"]
    assert result["pairs"][0]["mcnemar"]["p"] == 1.0


def test_compare_says_what_could_not_be_paired(call, runs):
    lines = call("compare", *save_runs(runs).ids()).out.splitlines()
    assert lines[5].split()[-3:] == ["other", "prompts", "-"]
    assert lines[-1].startswith("The runs are of different models")


def test_compare_refuses_one_run_and_the_same_run_twice(call, saved):
    for given, reason in (
        ([saved], "2 to 6 runs; got 1"),
        ([saved, saved], "with itself"),
        ([saved, "no-such-run"], "no run 'no-such-run'"),
    ):
        printed = call("compare", *given, code=2)
        assert printed.out == ""
        assert ONE_LINE.fullmatch(printed.err)
        assert reason in printed.err


def test_judge_names_every_judge_and_their_agreement(call, runs):
    save_runs(runs)
    refusal = refusal_run().run_id
    result = json.loads(call("judge", refusal, "--json").out)
    assert result["run_id"] == refusal
    assert [row["judge"] for row in result["rows"]] == result["names"]
    assert len(result["names"]) == 2
    assert result["agreement"][0]["n"] == 2 * result["rows"][0]["intact"]["n"]
    assert "COHEN'S KAPPA" in call("judge", refusal).out


def test_judge_wants_a_classifier_and_its_label_together(call, saved, tmp_path):
    printed = call("judge", saved, "--classifier", tmp_path, code=2)
    assert "--classifier DIR and --success LABEL go together" in printed.err
    missing = ("--classifier", tmp_path / "no", "--success", "yes")
    assert "no folder" in call("judge", saved, *missing, code=2).err
