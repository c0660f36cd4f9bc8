"""The app, run without a browser on saved runs that need no model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from circuitviz.evaluation.rate import Rate
from circuitviz.files import APP
from circuitviz.jobs.job import Job
from circuitviz.jobs.progress import JobProgress
from circuitviz.plots.tokens import TOKEN_COLUMNS
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.ui import services
from circuitviz.ui.drill import view as drill_view
from circuitviz.ui.live import live_model, live_questions
from tests.support.synthetic import save_family, save_runs

OpenApp = Callable[..., AppTest]


class FakeRunner:
    """A job runner that carries nothing out."""

    def __init__(self) -> None:
        self.listed: list[Job] = []

    def jobs(self) -> list[Job]:
        return self.listed

    def job(self, job_id: str) -> Job:
        return next(job for job in self.listed if job.job_id == job_id)

    def submit(self, config: DiscoveryConfig) -> str:
        self.add(config)
        return self.listed[0].job_id

    def add(self, config: DiscoveryConfig, state: str = "running", **more: object) -> Job:
        progress = more.pop("progress", JobProgress("learn", 0.2))
        job = Job(
            f"job-{len(self.listed)}",
            config,
            state,  # type: ignore[arg-type]
            submitted=100.0,
            started=100.0,
            progress=progress,  # type: ignore[arg-type]
            **more,  # type: ignore[arg-type]
        )
        self.listed.insert(0, job)
        return job


@pytest.fixture(scope="session")
def saved_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folders `pair` and `family`, written once; tests get copies."""
    folder = tmp_path_factory.mktemp("saved")
    save_runs(folder / "pair")
    save_family(folder / "family")
    return folder


@pytest.fixture
def no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty runs folder, and nothing that ships."""
    monkeypatch.setenv("CIRCUITVIZ_RUNS", str(tmp_path))
    monkeypatch.setattr(services, "EMBEDDED_RUNS", tmp_path / "nothing-ships")
    return tmp_path


@pytest.fixture
def runs(saved_folders: Path, no_runs: Path) -> Path:
    """A runs folder with a backdoor run and a refusal run, and nothing that ships."""
    return shutil.copytree(saved_folders / "pair", no_runs, dirs_exist_ok=True)


@pytest.fixture
def family(saved_folders: Path, no_runs: Path) -> Path:
    """A runs folder with four runs of the planted backdoor and a refusal run."""
    return shutil.copytree(saved_folders / "family", no_runs, dirs_exist_ok=True)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> FakeRunner:
    """The job runner of the app, which carries nothing out."""
    fake = FakeRunner()
    monkeypatch.setattr(services, "runner", lambda: fake)
    return fake


@pytest.fixture(autouse=True)
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker process is started, and no model is loaded to look inside."""
    monkeypatch.setattr(services, "warm_up", lambda: None)
    monkeypatch.setattr(drill_view, "asked_to_look", lambda run: False)


@pytest.fixture
def open_app() -> Iterator[OpenApp]:
    """Open the app at a page, with a query."""

    def start(page: str = "pages/overview.py", **query: str) -> AppTest:
        app = AppTest.from_file(APP, default_timeout=60)
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        if page != "pages/overview.py":
            app.switch_page(page).run()
        return app

    yield start
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Live measurements and answers without a model; the sets of units that were asked for."""
    asked: list[tuple[str, ...]] = []

    def effect(run, circuit, *, ablation=None, limit=None):
        asked.append(tuple(str(unit) for unit in circuit))
        rate = Rate("stub", 3, 48)
        return live_model.LiveEffect(rate, Rate("stub", 47, 48), rate, 0.1)

    def stream(run, prompt, circuit, ablation=None):
        asked.append(() if circuit is None else tuple(str(unit) for unit in circuit))
        yield f"{'intact' if circuit is None else 'off'}: {prompt}"

    def token_frame(run, prompt, answers, circuit, ablation=None, beginnings=()):
        rows = [
            (name, 1, text[:3], condition, 0.5)
            for name, text in answers.items()
            for condition in ("intact", "knocked out")
        ]
        return pd.DataFrame(rows, columns=list(TOKEN_COLUMNS))

    def answer_frame(run, circuit, ablation=None, *, limit=None):
        asked.append(tuple(str(unit) for unit in circuit))
        return run.generations.iloc[:9].assign(verdict_knocked_out="other")

    monkeypatch.setattr(live_questions, "stream", stream)
    monkeypatch.setattr(live_questions, "token_frame", token_frame)
    monkeypatch.setattr(live_questions, "answer_frame", answer_frame)
    monkeypatch.setattr(live_model, "effect", effect)
    return asked
