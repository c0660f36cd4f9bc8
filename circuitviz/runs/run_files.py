"""A run as the bytes of its files, to send from machine to machine."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from circuitviz.errors import RunFormatError
from circuitviz.runs.store import FILES, Run, RunStore

__all__ = ["pack_run", "unpack_run"]


def pack_run(run: Run) -> dict[str, bytes]:
    """What a run's folder would hold: file name -> bytes."""
    with tempfile.TemporaryDirectory(prefix="circuitviz-") as folder:
        path = RunStore(Path(folder)).save(run)
        return {name: (path / name).read_bytes() for name in FILES}


def unpack_run(run_id: str, files: Mapping[str, bytes]) -> Run:
    """The inverse of `pack_run`.

    Raises:
        RunFormatError: These are not the files of a run of that id.
    """
    if sorted(files) != sorted(FILES):
        raise RunFormatError(f"a run has the files {', '.join(FILES)}; got {', '.join(files)}")
    with tempfile.TemporaryDirectory(prefix="circuitviz-") as folder:
        path = Path(folder) / "run"
        path.mkdir()
        for name, data in files.items():
            (path / name).write_bytes(data)
        run = RunStore(Path(folder)).load(str(path))
    if run.config.run_id() != run_id:
        raise RunFormatError(f"these files are of the run {run.config.run_id()}, not of {run_id}")
    return Run(
        run_id, run.config, run.space, run.scores, run.frontier, run.generations, run.metrics
    )
