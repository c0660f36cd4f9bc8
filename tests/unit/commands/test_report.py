import json

import pytest

from circuitviz.cli import main
from circuitviz.report import browser
from tests.synthetic import backdoor_run, save_runs

RUN = backdoor_run().run_id


@pytest.fixture
def say(tmp_path, capsys, monkeypatch):
    """Run a command on a store with two runs: exit code, output, errors."""
    save_runs(tmp_path / "runs")
    monkeypatch.setattr(browser, "find_browser", lambda: None)

    def run(*words):
        code = main(["report", *map(str, words), "--runs", str(tmp_path / "runs")])
        return code, *capsys.readouterr()

    return run


def test_report_writes_a_page_and_names_it(say, tmp_path):
    code, out, err = say(RUN, "--out", tmp_path / "r.html")
    assert (code, out, err) == (0, f"{tmp_path / 'r.html'}\n", "circuitviz: making r.html\n")
    assert "Switching off 2 of 32 heads and 2 of 2,048 neurons" in (tmp_path / "r.html").read_text()


def test_report_makes_the_folder_it_is_to_lie_in(say, tmp_path):
    code, out, _ = say(RUN, "--out", tmp_path / "new" / "c.json")
    assert (code, out) == (0, f"{tmp_path / 'new' / 'c.json'}\n")
    assert (tmp_path / "new" / "c.json").is_file()


def test_report_tells_json_and_takes_a_size(say, tmp_path):
    code, out, _ = say(RUN, "--out", tmp_path / "c.json", "--size", 2, "--json")
    assert code == 0
    assert json.loads(out) == {"run_id": RUN, "files": [str(tmp_path / "c.json")], "notes": []}
    assert json.loads((tmp_path / "c.json").read_text())["circuitviz"]["circuit"]["size"] == 2


def test_report_refuses_in_one_line_what_it_cannot_write(say, tmp_path):
    code, out, err = say(RUN, "--out", tmp_path / "r.odt")
    assert (code, out) == (2, "")
    assert err == (
        "circuitviz: a report is written as .html, .pdf, .ipynb, .json or into a folder (a name "
        f"without an ending); got {tmp_path / 'r.odt'}\n"
    )
    code, _, err = say(RUN, "--out", tmp_path / "r.pdf")
    assert code == 2
    assert err.splitlines()[-1].startswith("circuitviz: no Chromium or Chrome found")
    assert not (tmp_path / "r.pdf").exists()


def test_report_covers_what_could_harm_unless_told_otherwise(say, tmp_path):
    from tests.synthetic import refusal_run

    run = refusal_run().run_id
    say(run, "--out", tmp_path / "covered.html")
    say(run, "--out", tmp_path / "plain.html", "--uncovered")
    assert "covered: show" in (tmp_path / "covered.html").read_text()
    assert "covered: show" not in (tmp_path / "plain.html").read_text()
