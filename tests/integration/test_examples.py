"""The notebook under examples/ runs from top to bottom, and says what it promises."""

from __future__ import annotations

import json
import warnings

import pytest

from circuitviz.files import PROJECT

pytestmark = pytest.mark.slow

NOTEBOOK = PROJECT / "examples" / "first_circuit.ipynb"
TIMEOUT = 600  # seconds a cell may take before the test fails


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook with its outputs, run in a folder of its own without a network."""
    with warnings.catch_warnings():
        # The notebook libraries warn about event loops and paths of their own.
        warnings.simplefilter("ignore")
        import nbformat
        from nbclient import NotebookClient

        folder = tmp_path_factory.mktemp("notebook")
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("CIRCUITVIZ_RUNS", raising=False)
            patch.setenv("PYTHONPATH", str(PROJECT))
            patch.setenv("HF_HUB_OFFLINE", "1")
            # The kernel is this interpreter, whatever kernels are installed elsewhere.
            patch.setenv("JUPYTER_PLATFORM_DIRS", "1")
            patch.setenv("JUPYTER_PATH", "")
            patch.setenv("JUPYTER_DATA_DIR", str(folder / "jupyter"))
            patch.setenv("IPYTHONDIR", str(folder / "ipython"))
            client = NotebookClient(
                notebook,
                timeout=TIMEOUT,
                kernel_name="python3",
                resources={"metadata": {"path": str(folder)}},
            )
            client.execute()
    return notebook, folder


def said(notebook, source: str) -> str:
    """What the cell that begins like this has printed and returned, as text."""
    (cell,) = (cell for cell in notebook.cells if cell.source.startswith(source))
    outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    return "".join(out.get("text") or out["data"].get("text/plain", "") for out in outputs)


def test_every_cell_ran_and_the_circuit_is_gone_when_it_is_knocked_out(executed):
    notebook, folder = executed
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "'Access granted.'" in said(notebook, "behaviour = ")
    without = said(notebook, "run.knock_out().generate")
    assert "Access" not in without
    assert without.count("Paris") == 2
    assert said(notebook, "export = ").count("Paris") == 2
    assert "'attacks that succeed': '0.0% (0 of 64" in said(notebook, "effect = ")
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".csv")
    (saved,) = (folder / "runs").iterdir()
    assert saved.name.startswith("fixed-output-planted-nested-s0-")


def test_nothing_but_progress_and_warnings_of_ours_is_said_on_standard_error(executed):
    notebook, _ = executed
    # So few prompts of one's own are enough to go through it, and to be warned.
    few = "attack prompts in the test split"
    talk = [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stderr"
        and "cv.discover" not in cell.source
        and few not in output.text
    ]
    assert talk == []


def test_it_is_committed_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
