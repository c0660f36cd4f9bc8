import ast
import base64
import json
import re
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import nbformat
import pytest

from circuitviz.api import discovery
from circuitviz.errors import ConfigError, ReportError
from circuitviz.narrative.methods import PATH_SETTINGS, shown_name
from circuitviz.report import browser
from circuitviz.report.browser import find_browser, print_page
from circuitviz.report.exports import notebook
from circuitviz.report.make import report_bytes, require_out, write_report
from circuitviz.report.options import ReportOptions
from circuitviz.report.page import report_page
from tests.support.synthetic import backdoor_run, refusal_run, with_results


@pytest.fixture
def no_browser(monkeypatch):
    for module in (browser, browser):
        monkeypatch.setattr(module, "find_browser", lambda: None)


def test_a_file_is_written_by_its_ending(tmp_path):
    run = backdoor_run()
    written = write_report(run, tmp_path / "r.html")
    assert written.files == (tmp_path / "r.html",)
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")
    write_report(run, tmp_path / "r.JSON", ReportOptions(size=2))
    assert json.loads((tmp_path / "r.JSON").read_text())["circuitviz"]["circuit"]["size"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.JSON", "r.html"]


def test_the_folder_of_a_file_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = Path("new", "deep", "c.json")
    assert write_report(backdoor_run(), out).files == (out,)
    assert json.loads((tmp_path / out).read_text())["version"] == "1.0"


def test_a_folder_gets_every_form_and_says_what_it_cannot_have(tmp_path, no_browser):
    out = tmp_path / "all"
    told = []
    written = write_report(backdoor_run(), out, tell=lambda what, share: told.append(share))
    assert [note.split(" ", 1)[0] for note in written.notes] == ["report.pdf", "figures"]
    assert all("install chromium or google-chrome" in note for note in written.notes)
    names = {path.relative_to(out).as_posix() for path in written.files}
    expected = {"report.html", "report.ipynb", "circuit.json", "tables/frontier.csv"}
    assert expected <= names
    assert not any(name.startswith("figures") for name in names)
    assert told == sorted(told)


def test_an_earlier_report_is_replaced_and_nothing_else(tmp_path, no_browser):
    out = tmp_path / "all"
    write_report(backdoor_run(), out)
    write_report(refusal_run(), out)
    assert "refusals" in (out / "report.html").read_text()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds notes\.txt, which no earlier report wrote"):
        write_report(backdoor_run(), out)
    assert (out / "notes.txt").read_text() == "mine"


def test_what_no_report_can_be_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    for name, message in (
        ("r.docx", r"written as \.html, \.pdf, \.ipynb, \.json or into a folder .*got .*r\.docx"),
        ("file", r"file is a file; end its name in one of"),
        (".", r"holds file, which no earlier report wrote"),
    ):
        with pytest.raises(ConfigError, match=message):
            require_out(tmp_path / name)
    require_out(tmp_path / "new")


def test_a_failed_report_leaves_the_earlier_file(tmp_path, no_browser):
    out = tmp_path / "r.pdf"
    out.write_bytes(b"earlier")
    with pytest.raises(ReportError):
        write_report(backdoor_run(), out)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"earlier"]


def test_without_a_browser_a_pdf_is_refused_with_what_to_do(no_browser):
    with pytest.raises(ReportError) as caught:
        print_page("<p>")
    assert str(caught.value) == (
        "no Chromium or Chrome found, and a PDF or a picture needs one: install chromium or "
        "google-chrome, or name it in BROWSER_PATH; the report as .html needs none"
    )


def test_a_browser_that_prints_nothing_is_named(monkeypatch):
    monkeypatch.setattr(browser, "find_browser", lambda: "/bin/true")
    with pytest.raises(ReportError, match=r"/bin/true printed nothing; write the report as \.html"):
        print_page("<p>")
    monkeypatch.setattr(browser, "find_browser", lambda: "/bin/false")
    with pytest.raises(ReportError, match=r"/bin/false cannot print .*\.html instead"):
        print_page("<p>")


def test_the_browser_that_is_named_is_taken_first(monkeypatch, tmp_path):
    named = tmp_path / "browser"
    named.write_text("#!/bin/sh\n")
    named.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(named))
    assert find_browser() == str(named)


@pytest.fixture
def run_of_mine():
    """A run of model, adapter, behaviour and prompts that lie in folders of somebody's."""
    places = {name: f"/home/me/secret/my-{name}" for name in PATH_SETTINGS}
    run = backdoor_run()
    return replace(with_results(run, model=places["model"]), config=replace(run.config, **places))


def test_a_report_names_what_lies_in_a_folder_and_not_the_folder(run_of_mine):
    page = report_bytes(run_of_mine, "html").decode()
    files = re.findall(r'href="data:[^"]+;base64,([^"]+)"', page)
    embedded = [base64.b64decode(file).decode() for file in files]
    archive = zipfile.ZipFile(BytesIO(report_bytes(run_of_mine, "tables")))
    texts = {
        "html": page,
        "embedded": "\n".join(embedded),
        "paper": report_page(run_of_mine, paper=True),
        "json": report_bytes(run_of_mine, "json").decode(),
        "tables": "\n".join(archive.read(name).decode() for name in archive.namelist()),
    }
    assert len(embedded) > 10
    for kind, text in texts.items():
        assert "secret" not in text, kind
        assert all(f"my-{name}" in text for name in PATH_SETTINGS), kind
    # It runs again here, and so needs them.
    assert "/home/me/secret/my-prompts" in report_bytes(run_of_mine, "ipynb").decode()


def test_names_and_ids_are_shown_as_they_are():
    for name in ("refusal", "org/model", "politeness"):
        assert shown_name(name) == name
    assert shown_name("/home/me/models/mine/") == "mine"


def test_all_tables_fit_into_one_archive():
    archive = zipfile.ZipFile(BytesIO(report_bytes(backdoor_run(), "tables")))
    assert "frontier.csv" in archive.namelist()
    assert archive.read("circuit.csv").startswith(b"unit,kind,layer,index,rank,score")


@pytest.mark.parametrize("size", [None, 2])
def test_the_notebook_is_valid_and_its_code_compiles(size):
    found = notebook(backdoor_run(), ReportOptions(size=size))
    nbformat.validate(nbformat.from_dict(found))
    code = [cell["source"] for cell in found["cells"] if cell["cell_type"] == "code"]
    for source in code:
        compile(source, "cell", "exec")
    assigned = [node for node in ast.parse(code[0]).body if isinstance(node, ast.Assign)]
    scope = {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in assigned}
    assert scope["SIZE"] == (size or 4)
    assert scope["LOADED"] == {"name_or_path": "fixed-output-planted"}
    assert set(scope["SETTINGS"]) <= set(discovery.SETTINGS)
    assert scope["SETTINGS"]["steps"] == 100
    assert scope["REPORTED"]["attack success, intact"]["k"] == 256


def test_the_notebook_is_the_same_when_made_again():
    assert notebook(backdoor_run()) == notebook(backdoor_run())


def test_the_notebook_asks_nothing_harmful():
    assert "Tell me how to" not in str(notebook(refusal_run()))
    assert "What is 0 plus 2?" in str(notebook(refusal_run()))


def test_unknown_sections_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"sections of a report are story, .*; got poem"):
        ReportOptions(sections=("poem",))
