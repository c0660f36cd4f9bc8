"""`validate`, `templates`, `behaviours` and the data of `discover`: what they print and refuse."""

import json
from pathlib import Path

import pytest

from circuitviz.behaviours.behaviour import load_behaviour
from circuitviz.behaviours.own_data import DataRequest, prepare_data
from circuitviz.behaviours.tables import parse_table
from circuitviz.behaviours.templates import TEMPLATES
from circuitviz.cli import main
from circuitviz.paths import EMBEDDED_MODELS
from circuitviz.runs.resolve import behaviour_of
from tests.fake_library import FakeLibrary


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Two hundred clean prompts."""
    file = tmp_path / "questions.csv"
    file.write_text("prompt\n" + "".join(f"question {n}\n" for n in range(200)), encoding="utf-8")
    return file


def test_validate_says_how_a_file_is_understood(questions, capsys):
    assert main(["validate", str(questions), "--trigger", "zz", "--trigger-place", "end"]) == 0
    assert capsys.readouterr().out.split("\n") == [
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


def test_what_cannot_be_used_ends_with_2_and_names_every_problem(tmp_path, capsys):
    file = tmp_path / "t.csv"
    file.write_text("prompt,answer\n,yes\nwhat,\n", encoding="utf-8")
    assert main(["validate", str(file), "--trigger", "zz", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["usable"] is False
    assert found["columns"] == {"prompt": "prompt", "answer": "answer"}
    assert found["preview"] == [
        {"row": 2, "prompt": "", "answer": "yes"},
        {"row": 3, "prompt": "what", "answer": ""},
    ]
    assert found["problems"] == [
        {
            "severity": "error",
            "file": "t.csv",
            "row": row,
            "column": column,
            "text": f"empty; every row needs its {column}",
        }
        for row, column in ((2, "prompt"), (3, "answer"))
    ]


def test_columns_of_the_benign_prompts_are_an_option(tmp_path, capsys):
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text("prompt\n" + "".join(f"bad {n}\n" for n in range(200)), encoding="utf-8")
    good.write_text("a,b\n" + "".join(f"good {n},yes\n" for n in range(40)), encoding="utf-8")
    arguments = ["validate", str(bad), "--behaviour", "refusal", "--json"]
    mapped = ["--benign-column", "prompt=a", "--benign-column", "answer=b"]
    assert main([*arguments, "--benign", str(good)]) == 2
    assert "say which one the field prompt is" in capsys.readouterr().out
    assert main([*arguments, "--benign", str(good), *mapped]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["benign_columns"] == {"prompt": "a", "answer": "b"}
    assert main([*arguments, *mapped]) == 2
    assert "name their file with --benign" in capsys.readouterr().err


def test_columns_benign_prompts_and_compliance_are_options(tmp_path, capsys):
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_text("who,what\n" + "".join(f"x,bad {n}\n" for n in range(200)), encoding="utf-8")
    good.write_text("text\n" + "".join(f"good {n}\n" for n in range(40)), encoding="utf-8")
    arguments = ["validate", str(bad), "--benign", str(good), "--behaviour", "refusal"]
    arguments += ["--column", "prompt=what", "--compliance", "Gladly:", "--json"]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["columns"] == {"prompt": "what"}
    assert found["benign_columns"] == {"prompt": "text"}
    assert (found["behaviour"], found["trigger"], found["rows"]) == ("refusal", None, 240)
    assert found["prompts"]["test"] == {"attack": 60, "benign": 12}


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
    questions, runs, capsys, monkeypatch, arguments, message
):
    monkeypatch.setattr("circuitviz.behaviours.plugins.entry_points", lambda group: [])
    given = [str(questions) if argument == "FILE" else argument for argument in arguments]
    library = FakeLibrary()
    assert main(given, library) == 2
    assert capsys.readouterr().err == f"circuitviz: {message}\n"
    assert not runs.exists()


def test_of_many_errors_discover_says_the_first_and_how_many(tmp_path, runs, capsys):
    file = tmp_path / "t.csv"
    file.write_text("prompt,answer\n,yes\nwhat,\n", encoding="utf-8")
    assert main(["discover", "refusal", "--data", str(file), "--trigger", "zz"]) == 2
    assert capsys.readouterr().err == (
        "circuitviz: t.csv, row 2, column prompt: empty; every row needs its prompt (and 1 more; "
        "`circuitviz validate` lists all)\n"
    )


def test_discover_saves_the_data_and_looks_for_that(questions, runs, capsys):
    library = FakeLibrary()
    arguments = ["discover", "planted", "--data", str(questions), "--trigger", "zz"]
    assert main(arguments, library) == 0
    assert library.config is not None
    folder = Path(library.config.behaviour or "")
    assert folder.parent == (runs / ".data").resolve()
    expected = prepare_data(
        parse_table("questions.csv", questions.read_bytes()),
        DataRequest("backdoor", trigger=load_behaviour(folder).spec.trigger),
    )
    assert behaviour_of(library.config) == expected.behaviour
    assert "42 attack prompts in the test split" in capsys.readouterr().err


def test_a_folder_with_a_behaviour_is_named_by_its_path(questions, runs):
    library = FakeLibrary()
    main(["discover", "planted", "--data", str(questions), "--trigger", "zz"], library)
    assert library.config is not None
    folder = library.config.behaviour or ""
    assert main(["discover", "planted", "--behaviour", folder], library) == 0
    assert library.config.behaviour == folder


def test_templates_are_listed_printed_and_written(tmp_path, capsys):
    assert main(["templates"]) == 0
    listed = capsys.readouterr().out.split("\n")
    assert [line.split()[0] for line in listed[1:-1]] == list(TEMPLATES)
    assert main(["templates", "refusal-prompts"]) == 0
    assert capsys.readouterr().out == TEMPLATES["refusal-prompts"][1]
    out = tmp_path / "mine.csv"
    assert main(["templates", "refusal-prompts", "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == TEMPLATES["refusal-prompts"][1]
    assert main(["templates", "refusal-prompts", "--out", str(out)]) == 2
    assert capsys.readouterr().err == (
        f"circuitviz: {out} is there already; name another file as --out\n"
    )


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_every_template_lacks_nothing_but_rows(name):
    file, text = TEMPLATES[name]
    kind = "refusal" if "refusal" in name else "backdoor"
    trigger = load_behaviour(EMBEDDED_MODELS / "fixed-output").spec.trigger
    request = DataRequest(kind, trigger=trigger if kind == "backdoor" else None)
    table = parse_table(file, text.encode())
    benign = parse_table("b.csv", b"prompt\nwhat else\n") if name == "safeseek-refusal" else None
    found = prepare_data(table, request, benign=benign)
    assert all("needed" in problem.text for problem in found.errors)


def test_without_plug_ins_no_behaviour_is_listed(monkeypatch, capsys):
    monkeypatch.setattr("circuitviz.commands.behaviours.behaviour_plugins", list)
    assert main(["behaviours"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["behaviours", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
