"""Every chart says how to read it, and has its numbers as a table."""

import ast
from pathlib import Path

import pytest

from circuitviz.paths import PROJECT
from circuitviz.plots.notes import READINGS

FILES = sorted([*(PROJECT / "pages").glob("*.py"), *(PROJECT / "circuitviz/ui").rglob("*.py")])


def calls(path: Path, name: str) -> list[ast.Call]:
    found = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [call for call in found if isinstance(call.func, ast.Name) and call.func.id == name]


CHARTS = [(path, call) for path in FILES for call in calls(path, "chart")]


@pytest.mark.parametrize(
    ("path", "call"), CHARTS, ids=[f"{path.stem}-{call.lineno}" for path, call in CHARTS]
)
def test_a_chart_is_explained_and_has_a_table(path, call):
    named = {word.arg for word in call.keywords}
    # Panels below the maps explain their charts in words of the moment, and two have one table.
    assert "twin" in named or calls(path, "table_twin")
    assert "reading" in named or calls(path, "how_to_read")


def test_every_reading_is_used():
    text = "".join(path.read_text() for path in FILES)
    assert [key for key in READINGS if f'READINGS["{key}"]' not in text] == []


def test_readings_are_a_few_plain_sentences():
    for text in READINGS.values():
        assert 2 <= text.count(". ") + 1 <= 6
        assert text.endswith(".")
