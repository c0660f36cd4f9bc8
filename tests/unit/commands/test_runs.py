"""`runs`: ids for scripts, a table for people."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from circuitviz.cli import main
from circuitviz.runs.store import Run, RunStore
from tests.fake_library import ONE_LINE
from tests.synthetic import backdoor_run, refusal_run, save_runs, with_results


def test_runs_lists_own_and_shipped_ids(capsys, tmp_path, runs):
    RunStore(runs).save(backdoor_run())
    RunStore(tmp_path / "shipped").save(refusal_run())
    expected = [backdoor_run().run_id, refusal_run().run_id]
    assert main(["runs"]) == 0
    assert capsys.readouterr().out.split() == expected
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected


@pytest.fixture
def terminal(monkeypatch):
    """Somebody reads what is printed."""
    monkeypatch.setattr("circuitviz.commands.runs.on_terminal", lambda: True)


@pytest.mark.usefixtures("terminal")
def test_a_run_that_is_removed_meanwhile_is_passed_over(capsys, runs, monkeypatch):
    RunStore(runs).save(backdoor_run())
    listed = ["removed", backdoor_run().run_id]
    monkeypatch.setattr(RunStore, "ids", lambda store: listed)
    assert main(["runs"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2
    assert printed.err == ""


def dated(run: Run, created: str) -> Run:
    return with_results(run, created=created)


@pytest.mark.usefixtures("terminal")
def test_people_get_a_table_the_newest_run_first(capsys, tmp_path, runs):
    # Saved in another order than made; two hours east of Greenwich it is 02:30.
    late = dated(backdoor_run(), "2026-11-25T02:30:00+02:00")
    early = dated(refusal_run(), "2026-11-24T23:59:59+00:00")
    RunStore(runs).save(late)
    RunStore(runs).save(early)
    oldest = dated(backdoor_run(seed=1), "2026-11-20T12:00:00+00:00")
    RunStore(tmp_path / "shipped").save(oldest)
    assert main(["runs"]) == 0
    printed = capsys.readouterr()
    assert [re.split(r"  +", line) for line in printed.out.splitlines()] == [
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
def test_json_is_the_same_on_a_terminal(capsys, runs):
    RunStore(runs).save(backdoor_run())
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [backdoor_run().run_id]


@pytest.mark.usefixtures("terminal")
def test_a_damaged_run_hides_no_other(capsys, runs):
    save_runs(runs)
    (runs / refusal_run().run_id / "metrics.json").write_text("{")
    assert main(["runs"]) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == ["RUN", backdoor_run().run_id]
    assert ONE_LINE.fullmatch(printed.err)
    assert f"cannot read the run in {runs / refusal_run().run_id}" in printed.err


@pytest.mark.usefixtures("terminal")
def test_names_are_short_and_cannot_command_the_terminal(capsys, runs):
    run = with_results(backdoor_run(), behaviour="\x1b[2J\n" + "b" * 40)
    config = replace(run.config, model="/models/mine")
    RunStore(runs).save(replace(run, config=config))
    assert main(["runs"]) == 0
    _, line = capsys.readouterr().out.splitlines()
    assert re.split(r"  +", line)[1:3] == ["mine", "\\x1b[2J " + "b" * 21 + "…"]


def test_no_runs_is_no_output(capsys):
    assert main(["runs"]) == 0
    assert capsys.readouterr().out == ""
