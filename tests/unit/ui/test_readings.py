"""Every chart says how to read it, and has its numbers as a table."""

import ast
from pathlib import Path

import pytest

from circuitviz.files import PROJECT
from circuitviz.plots.catalogue import charts
from tests.support.synthetic import controlled_run
from tests.support.synthetic_open import open_refusal_run

FILES = sorted([*(PROJECT / "pages").glob("*.py"), *(PROJECT / "circuitviz/ui").rglob("*.py")])


def calls(path: Path, name: str) -> list[ast.Call]:
    nodes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return [call for call in nodes if isinstance(call.func, ast.Name) and call.func.id == name]


CHARTS = [(path, call) for path in FILES for call in calls(path, "Chart")]


@pytest.mark.parametrize(
    ("path", "call"), CHARTS, ids=[f"{path.stem}-{call.lineno}" for path, call in CHARTS]
)
def test_a_chart_of_a_page_is_explained_and_has_a_table(path, call):
    parts = {word.arg for word in call.keywords}
    assert {"caption", "alt"} <= parts
    # Panels below the maps explain their charts in words of the moment, and two have one table.
    assert "twin" in parts or calls(path, "table_twin")
    assert "reading" in parts or calls(path, "how_to_read")


@pytest.mark.parametrize("run", [controlled_run(), open_refusal_run()], ids=["backdoor", "open"])
def test_the_charts_of_a_run_are_explained_and_have_their_tables(run):
    for chart in charts(run).values():
        assert len(chart.twin)
        assert chart.caption
        assert chart.alt
        assert 2 <= chart.reading.count(". ") + 1 <= 6
        assert chart.reading.endswith(".")
