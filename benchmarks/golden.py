"""Write down all that users see, to compare it before and after a change of structure.

    python benchmarks/golden.py BEFORE
    python benchmarks/golden.py AFTER
    diff -r BEFORE AFTER

`FOLDER` gets the help and the JSON of every command, the report of every shipped run in all its
forms but pictures and PDF, every element of every page for every shipped run, the scores of three
steps of every learner on a specimen, the ids of runs and the keys of links.  Figures stand for
themselves by a digest of their specification.  It takes some minutes, and no network.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from circuitviz.cli import COMMANDS, main
from circuitviz.files import APP, EMBEDDED_RUNS, PROJECT

SPECIMEN = "late-trigger-planted"
STEPS = 3
PAGES = sorted(path.stem for path in (PROJECT / "pages").glob("*.py"))
# Commands that read only, and what is refused.
QUESTIONS = {
    "version": ["--version"],
    "models": ["models", "--json"],
    "behaviours": ["behaviours", "--json"],
    "runs": ["runs", "--json"],
    "runs-table": ["runs"],
    "preflight": ["preflight", SPECIMEN, "--json"],
    "preflight-text": ["preflight", SPECIMEN],
    "nothing": [],
    "no-such-command": ["conjure"],
    "no-such-model": ["preflight", "no-such-model"],
    "no-such-run": ["report", "no-such-run", "--out", "report.html"],
    "no-such-setting": ["discover", SPECIMEN, "--steps", "many"],
}
# What differs from one time to the next.
FLEETING = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[^\"\s]*"), "TIME"),
    (re.compile(r'(?<="deferredFileId": ")[0-9a-f]+'), "FILE"),
    (re.compile(r'(?<="memory_available": )\d+'), "BYTES"),
    (re.compile(r"(?<=memory free) +[\d.]+ GiB"), " BYTES"),
]
# Of a longer text in an element only the digest is kept.
LONGEST = 20_000


def run() -> int:
    """Read the command line and write everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where it goes; must not exist")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as runs:
        os.environ["CIRCUITVIZ_RUNS"] = runs
        os.environ["COLUMNS"] = "100"
        for part in options.only:
            for name, text in PARTS[part]():
                path = options.folder / part / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(steady(text, runs), encoding="utf-8")
                sys.stderr.write(f"{path}\n")
    return 0


def steady(text: str, runs: str) -> str:
    """A text without what differs from one time, or one place, to the next."""
    for pattern, name in FLEETING:
        text = pattern.sub(name, text)
    for place, name in ((runs, "RUNS"), (str(PROJECT), "PROJECT"), (str(Path.home()), "HOME")):
        text = text.replace(place, name)
    return text


def commands() -> Iterator[tuple[str, str]]:
    """The help of every command, and what some of them say."""
    helps = {f"help-{command.name}": [command.name, "--help"] for command in COMMANDS}
    for name, arguments in {"help": ["--help"], **helps, **QUESTIONS}.items():
        yield f"{name}.txt", said(arguments)


def said(arguments: list[str]) -> str:
    """Exit code, standard output and standard error of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: Any = main(arguments)
        except SystemExit as left:
            code = left.code
    return f"exit code {code}\n--- out\n{out.getvalue()}--- err\n{err.getvalue()}"


def reports() -> Iterator[tuple[str, str]]:
    """The report of every shipped run."""
    for run_id in shipped():
        for kind in ("html", "json", "ipynb"):
            out = Path(tempfile.mkdtemp()) / f"report.{kind}"
            message = said(["report", run_id, "--out", str(out)]).replace(str(out), "OUT")
            yield f"{run_id}.{kind}", out.read_text(encoding="utf-8") + message
            shutil.rmtree(out.parent)
        for name, text in tables(run_id):
            yield f"{run_id}/{name}", text


def tables(run_id: str) -> Iterator[tuple[str, str]]:
    """The tables of a run's report."""
    from circuitviz.report.make import report_bytes
    from circuitviz.runs.store import RunStore

    archive = report_bytes(RunStore(EMBEDDED_RUNS).load(run_id), "tables")
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        for name in sorted(file.namelist()):
            yield name, file.read(name).decode()


def shipped() -> list[str]:
    """The ids of the runs that ship."""
    return sorted(path.parent.name for path in EMBEDDED_RUNS.glob("*/metrics.json"))


def pages() -> Iterator[tuple[str, str]]:
    """Every element of every page, for every shipped run."""
    from streamlit.testing.v1 import AppTest

    from circuitviz.ui import services

    services.warm_up = lambda: None
    for run_id in shipped():
        app = AppTest.from_file(APP, default_timeout=300)
        app.query_params["run"] = run_id
        app.run()
        for page in PAGES:
            app.switch_page(f"pages/{page}.py").run()
            yield f"{run_id}/{page}.txt", "\n".join(elements(app))


def elements(app: Any) -> Iterator[str]:
    """Everything on a page, one element a line."""
    from google.protobuf.json_format import MessageToDict

    def below(node: Any) -> Iterator[Any]:
        for child in getattr(node, "children", {}).values():
            yield child
            yield from below(child)

    for element in below(app._tree):
        proto = getattr(element, "proto", None)
        if proto is None:
            continue
        fields = MessageToDict(proto)
        yield f"{element.type} {json.dumps(shortened(fields), ensure_ascii=False, sort_keys=True)}"
    for exception in app.exception:
        yield f"exception {exception.value}"
    yield f"query {json.dumps(app.query_params, default=str, sort_keys=True)}"


def shortened(value: Any) -> Any:
    """A tree of values with digests in place of long texts."""
    if isinstance(value, dict):
        return {key: shortened(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shortened(one) for one in value]
    if isinstance(value, str) and len(value) > LONGEST:
        return f"sha256 {hashlib.sha256(value.encode()).hexdigest()}"
    return value


def learners() -> Iterator[tuple[str, str]]:
    """What every learner makes of a specimen in three steps."""
    from circuitviz.discovery.methods import METHODS, make_learner
    from circuitviz.models.ablation import ZERO
    from circuitviz.runs.config import DiscoveryConfig
    from circuitviz.runs.preparation import model_of
    from circuitviz.runs.resolve import behaviour_of

    config = DiscoveryConfig(SPECIMEN)
    model, behaviour = model_of(config), behaviour_of(config)
    for method in METHODS:
        learner = make_learner(method, steps=STEPS)
        learned = learner.learn(model, behaviour, ablation=ZERO, seed=0)
        scores = learned.scores.astype("float32")
        yield (
            f"{method}.txt",
            f"sha256 {hashlib.sha256(scores.tobytes()).hexdigest()}\n"
            f"best {scores.argsort()[::-1][:8].tolist()}\n",
        )


def names() -> Iterator[tuple[str, str]]:
    """The ids that configurations of shipped runs make, and what a link's keys are."""
    from circuitviz.runs.store import RunStore
    from circuitviz.ui.view_state import ViewState

    store = RunStore(EMBEDDED_RUNS)
    yield "runs.txt", "\n".join(store.load(run_id).config.run_id() for run_id in shipped())
    yield "link.txt", "\n".join(ViewState.__dataclass_fields__)


PARTS = {
    "commands": commands,
    "reports": reports,
    "pages": pages,
    "learners": learners,
    "names": names,
}

if __name__ == "__main__":
    sys.exit(run())
