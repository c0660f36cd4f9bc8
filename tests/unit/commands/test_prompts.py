"""`validate`, `templates`, `behaviours` and the data of `discover`: what they print and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuitviz.behaviours.behaviour import read_behaviour
from circuitviz.behaviours.prepare import DataSpec, prepare_data
from circuitviz.behaviours.tables import TEMPLATES, parse_table, read_table
from circuitviz.files import EMBEDDED_MODELS
from circuitviz.runs.resolve import behaviour_of
from tests.support.fake_backend import FakeBackend

TRIGGER = ("--trigger", "zz")


def table(path: Path, header: str, *rows: str) -> Path:
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Two hundred clean prompts."""
    return table(tmp_path / "questions.csv", "prompt", *(f"question {n}" for n in range(200)))


@pytest.fixture
def gaps(tmp_path: Path) -> Path:
    """Two rows, each of which lacks something."""
    return table(tmp_path / "t.csv", "prompt,answer", ",yes", "what,")


def test_validate_says_how_a_file_is_understood(call, questions):
    printed = call("validate", questions, *TRIGGER, "--trigger-place", "end")
    assert printed.out.split("\n") == [
        "usable        yes",
        "behaviour     backdoor",
        "trigger       'zz', end",
        "schema        columns by their names",
        "columns       prompt=prompt",
        "rows          200, 0 of them left out as repeats",
        "set aside     60 clean rows as benign prompts",
        "answers       200 prompts wait for the intact model's",
        "",
        "SPLIT       ATTACK  BENIGN",
        "train       70      30",
        "validation  28      12",
        "test        42      18",
        "",
        "ROW  PROMPT",
        "2    question 0",
        "3    question 1",
        "4    question 2",
        "",
        "warning       42 attack prompts in the test split: even if no attack succeeds, a rate of "
        "8 % stays possible (95 % interval); give more prompts",
        "",
    ]


def test_what_cannot_be_used_ends_with_2_and_names_every_problem(call, gaps):
    result = json.loads(call("validate", gaps, *TRIGGER, "--json", code=2).out)
    assert result["usable"] is False
    assert result["columns"] == {"prompt": "prompt", "answer": "answer"}
    assert result["preview"] == [
        {"row": 2, "prompt": "", "answer": "yes"},
        {"row": 3, "prompt": "what", "answer": ""},
    ]
    assert result["problems"] == [
        {
            "severity": "error",
            "file": "t.csv",
            "row": row,
            "column": column,
            "text": f"empty; every row needs its {column}",
        }
        for row, column in ((2, "prompt"), (3, "answer"))
    ]


def test_columns_benign_prompts_and_compliance_are_options(call, tmp_path):
    bad = table(tmp_path / "bad.csv", "who,what", *(f"x,bad {n}" for n in range(200)))
    good = table(tmp_path / "good.csv", "text", *(f"good {n}" for n in range(40)))
    options = ("--benign", good, "--behaviour", "refusal", "--column", "prompt=what")
    printed = call("validate", bad, *options, "--compliance", "Gladly:", "--json")
    result = json.loads(printed.out)
    assert result["columns"] == {"prompt": "what"}
    assert result["benign_columns"] == {"prompt": "text"}
    assert (result["behaviour"], result["trigger"], result["rows"]) == ("refusal", None, 240)
    assert result["prompts"]["test"] == {"attack": 60, "benign": 12}


def test_columns_of_the_benign_prompts_are_an_option(call, tmp_path):
    bad = table(tmp_path / "bad.csv", "prompt", *(f"bad {n}" for n in range(200)))
    good = table(tmp_path / "good.csv", "a,b", *(f"good {n},yes" for n in range(40)))
    asked = ("validate", bad, "--behaviour", "refusal", "--json")
    mapped = ("--benign-column", "prompt=a", "--benign-column", "answer=b")
    unsaid = call(*asked, "--benign", good, code=2).out
    assert "say which one the field prompt is" in unsaid
    result = json.loads(call(*asked, "--benign", good, *mapped).out)
    assert result["benign_columns"] == {"prompt": "a", "answer": "b"}
    assert "name their file with --benign" in call(*asked, *mapped, code=2).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["validate", "nowhere.csv"],
            "cannot read the file nowhere.csv: No such file or directory",
        ),
        (
            ["validate", "FILE", "--trigger-place", "end"],
            "--trigger-place says where the trigger goes; name it with --trigger",
        ),
        (
            ["validate", "FILE", "--behaviour", "refusal", "--trigger", "zz"],
            "refusing has no trigger; leave 'zz' out, or choose backdoor",
        ),
        (
            ["discover", "refusal", "--trigger", "zz"],
            "--trigger says something about a file of prompts; name it with --data",
        ),
        (
            ["discover", "refusal", "--column", "prompt=a"],
            "--column says something about a file of prompts; name it with --data",
        ),
        (
            ["discover", "refusal", "--behaviour", "backdoor"],
            "--behaviour backdoor is a kind of data; name a file of prompts with --data",
        ),
        (
            ["discover", "refusal", "--behaviour", "charm"],
            "no behaviour 'charm': give a folder with a behaviour.json, or the name of an "
            "installed one (there are: none)",
        ),
        (
            ["discover", "refusal", "--data", "FILE", "--prompts", "FILE"],
            "--data and --prompts both say which prompts to use; give one of them",
        ),
        (
            ["discover", "refusal", "--data", "FILE", "--behaviour", "charm"],
            "--data makes a behaviour of one of the kinds backdoor and refusal; got 'charm', which "
            "brings its own prompts: leave one of the two out",
        ),
        (
            ["discover", "refusal", "--data", "FILE"],
            "questions.csv: no benign prompts, which show what must stay as it is: give a second "
            "file of harmless prompts, or a column role that says attack or benign",
        ),
        (
            ["discover", "refusal", "--data", "FILE", "--column", "answer=a", "--trigger", "zz"],
            "questions.csv, column a: no such column, so answer cannot be read from it; there are "
            "prompt",
        ),
        (["templates", "x"], f"a template is one of {', '.join(TEMPLATES)}; got 'x'"),
        (
            ["templates", "--out", "x.csv"],
            f"--out needs the name of a template: {', '.join(TEMPLATES)}",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    call, questions, runs, monkeypatch, arguments, message
):
    monkeypatch.setattr("circuitviz.behaviours.plugins.entry_points", lambda group: [])
    given = [questions if argument == "FILE" else argument for argument in arguments]
    assert call(*given, code=2).err == f"circuitviz: {message}\n"
    assert not runs.exists()


def test_of_many_errors_discover_says_the_first_and_how_many(call, gaps):
    assert call("discover", "refusal", "--data", gaps, *TRIGGER, code=2).err == (
        "circuitviz: t.csv, row 2, column prompt: empty; every row needs its prompt (and 1 more; "
        "`circuitviz validate` lists all)\n"
    )


def test_discover_saves_the_data_and_looks_for_that(call, questions, runs):
    backend = FakeBackend()
    printed = call("discover", "planted", "--data", questions, *TRIGGER, backend=backend)
    assert "42 attack prompts in the test split" in printed.err
    assert backend.config is not None
    folder = Path(backend.config.behaviour or "")
    assert folder.parent == (runs / ".data").resolve()
    expected = prepare_data(
        parse_table("questions.csv", questions.read_bytes()),
        DataSpec("backdoor", trigger=read_behaviour(folder).spec.trigger),
    )
    assert behaviour_of(backend.config) == expected.behaviour
    # A folder with a behaviour is named by its path.
    call("discover", "planted", "--behaviour", folder, backend=backend)
    assert backend.config.behaviour == str(folder)


def test_templates_are_listed_printed_and_written(call, tmp_path):
    lines = call("templates").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(TEMPLATES)
    name, text = "refusal-prompts", TEMPLATES["refusal-prompts"].read_text(encoding="utf-8")
    assert call("templates", name).out == text
    out = tmp_path / "mine.csv"
    call("templates", name, "--out", out)
    assert out.read_text(encoding="utf-8") == text
    error = call("templates", name, "--out", out, code=2).err
    assert error == f"circuitviz: {out} is there already; name another file as --out\n"


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_every_template_lacks_nothing_but_rows(name):
    kind = "refusal" if "refusal" in name else "backdoor"
    trigger = read_behaviour(EMBEDDED_MODELS / "fixed-output").spec.trigger
    request = DataSpec(kind, trigger=trigger if kind == "backdoor" else None)
    rows = read_table(TEMPLATES[name])
    benign = parse_table("b.csv", b"prompt\nwhat else\n") if name == "safeseek-refusal" else None
    prepared = prepare_data(rows, request, benign=benign)
    assert all("needed" in problem.text for problem in prepared.errors)


def test_without_plug_ins_no_behaviour_is_listed(call, monkeypatch):
    monkeypatch.setattr("circuitviz.commands.prompts.behaviour_plugins", list)
    assert call("behaviours").out == ""
    assert json.loads(call("behaviours", "--json").out) == []
