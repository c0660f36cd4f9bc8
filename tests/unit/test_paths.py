from __future__ import annotations

from pathlib import Path

from circuitviz import files


def test_the_runs_folder_is_the_chosen_one_else_the_environments_else_here(monkeypatch):
    monkeypatch.setenv("CIRCUITVIZ_RUNS", "/from/environment")
    assert files.runs_folder("chosen") == Path("chosen")
    assert files.runs_folder() == Path("/from/environment")
    monkeypatch.setenv("CIRCUITVIZ_RUNS", "")
    assert files.runs_folder() == Path("runs")
    monkeypatch.delenv("CIRCUITVIZ_RUNS")
    assert files.runs_folder(None) == Path("runs")


def test_the_project_is_where_its_configuration_is():
    assert (files.PROJECT / "pyproject.toml").is_file()
