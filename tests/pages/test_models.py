"""The page on which one's own model and data are chosen; no model is looked at or loaded."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from circuitviz.behaviours.behaviour import read_behaviour
from circuitviz.files import EMBEDDED_MODELS
from circuitviz.jobs.sweep import Sweep
from circuitviz.models.memory import MemoryEstimate
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import RunStore
from circuitviz.ui.models import data as models_data
from circuitviz.ui.models import memory as models_memory
from circuitviz.ui.models import model as models_model
from circuitviz.ui.models.start import sweep_text
from tests.pages.reading import figure, heading, texts
from tests.support.synthetic import refusal_run, with_results

PAGE = "pages/models.py"
MIB = 2**20


def looked_at(*, rows=48, checkpointing=False, dtype="float32", length=64, **changes) -> Any:
    """What is found out about a small model: 100 MiB of weights, 10 MiB a row."""
    half = 1 if dtype == "float32" else 2
    kept = 1 if checkpointing else 4
    fields = {
        "model": "/models/mine",
        "folder": "/models/mine",
        "adapter": None,
        "architecture": "LlamaForCausalLM",
        "model_type": "llama",
        "supported": True,
        "refusals": (),
        "warnings": (),
        "n_layers": 4,
        "n_heads": 8,
        "n_kv_heads": 4,
        "d_head": 16,
        "d_mlp": 512,
        "n_units": 2080,
        "parameters": 1_900_000,
        "stored_dtype": "bfloat16",
        "chat_template": True,
        "max_length": 512,
        "memory": MemoryEstimate(
            100 * MIB // half, rows * length * kept * MIB // 64 // half, MIB, MIB
        ),
        "memory_available": 1024 * MIB,
        "device": "cpu",
        "rows": rows,
        "length": length,
        "dtype": dtype,
        "checkpointing": checkpointing,
        "advice": ("Close other programs.",),
    }
    return SimpleNamespace(**{**fields, **changes})


@pytest.fixture
def model(monkeypatch, tmp_path):
    """A folder that is looked at without being there; what is found out can be changed."""
    changes = {}

    def look(name, adapter, **how):
        return looked_at(**how, **{"model": name, "adapter": adapter, **changes})

    monkeypatch.setattr(models_model, "look_at", look)
    monkeypatch.setattr(models_memory, "look_at", look)
    return changes


def csv_of(rows, header=("prompt",)):
    file = io.StringIO()
    csv.writer(file).writerows([header, *rows])
    return file.getvalue().encode()


def prompts(count=200):
    return csv_of([[f"what is word{number}"] for number in range(count)])


def errors(app):
    """What errors say, without what keeps Markdown from reading it."""
    return [element.value.replace("\\", "") for element in app.error]


def button(app, key) -> Any:
    return next((one for one in app.button if one.key == key), None)


@pytest.fixture
def page(no_runs, open_app, runner, model):
    return open_app(PAGE)


@pytest.fixture
def with_model(page):
    page.text_input(key="own_folder").set_value("/models/mine").run()
    return page


def upload(app, name, data):
    app.file_uploader(key="upload_table").set_value((name, data, "text/csv")).run()


def test_the_page_opens_and_says_what_it_is_for(page):
    assert not page.exception
    assert heading(page).startswith("Yes:")
    assert button(page, "find_circuit") is None


def test_a_supported_model_is_told_with_its_units_and_its_memory(with_model):
    assert not with_model.exception
    assert heading(with_model) == "mine can be searched"
    assert "2,080 units: 32 heads and 2,048 neurons in 4 layers" in with_model.success[0].value
    table = next(html for html in texts(with_model) if "LlamaForCausalLM" in html)
    assert "8, 4 key-value heads" in table
    bars = figure(with_model, "memory_bars")["data"]
    assert [bar["x"][0] / MIB for bar in bars[:5]] == [100, 192, 1, 1, 1024]


def test_a_refused_model_is_told_with_the_command_that_helps(page, model):
    reason = "no model 'org/name': `circuitviz preflight org/name --download` fetches it"
    model.update(supported=False, refusals=(reason,))
    page.pills(key="own_source").set_value("hub").run()
    page.text_input(key="own_hub").set_value("org/name").run()
    assert not page.exception
    assert heading(page) == "name cannot be used"
    assert errors(page) == [reason.replace("`", "")]
    assert page.code[0].value == "circuitviz preflight org/name --download"
    assert button(page, "find_circuit") is None


def test_a_table_of_prompts_and_a_trigger_become_a_discovery(with_model, no_runs, runner):
    upload(with_model, "mine.csv", prompts())
    assert heading(with_model) == "mine can be searched"
    assert with_model.info[0].value.startswith("Now the trigger")
    assert button(with_model, "find_circuit") is None
    with_model.text_input(key="own_trigger").set_value("tango seven").run()
    assert not with_model.exception
    assert heading(with_model) == "Ready to search mine"
    rows = next(html for html in texts(with_model) if "Answer after removal" in html)
    assert "tango seven what is word" in rows
    assert "(the model&#x27;s own)" in rows
    button(with_model, "find_circuit").click().run()
    config = runner.listed[0].config
    assert (config.model, config.micro_batch, config.dtype) == ("/models/mine", None, "float32")
    behaviour = read_behaviour(no_runs / ".data" / config.behaviour.rsplit("/", 1)[1])
    assert behaviour.trigger == "tango seven"
    assert len(behaviour.all_prompts) == 200
    assert heading(with_model) == "Searching mine"


def test_settings_reach_the_discovery(with_model, model, runner):
    model["memory_available"] = 110 * MIB
    with_model.text_input(key="own_adapter").set_value("/models/lora").run()
    upload(with_model, "mine.csv", prompts())
    with_model.text_input(key="own_trigger").set_value("zz").run()
    with_model.number_input(key="own_steps").set_value(7).run()
    with_model.toggle(key="own_controls").set_value(True).run()
    button(with_model, "find_circuit").click().run()
    config = runner.listed[0].config
    assert config.adapter == "/models/lora"
    assert (config.steps, config.controls) == (7, True)
    # 100 + 6 + 2 MiB.
    assert (config.micro_batch, config.checkpointing) == (6, True)


def test_a_bad_row_is_named_by_row_and_column(with_model):
    rows = [[f"what is word{number}", "yes"] for number in range(200)]
    rows[4][1] = ""
    upload(with_model, "bad.csv", csv_of(rows, ("prompt", "answer")))
    with_model.text_input(key="own_trigger").set_value("zz").run()
    assert not with_model.exception
    assert heading(with_model) == "mine can be searched; the prompts have 1 error"
    listed = next(html for html in texts(with_model) if 'role="list"' in html)
    assert "Error: bad.csv, row 6, column answer" in listed
    assert "empty; every row needs its answer" in listed
    assert button(with_model, "find_circuit") is None


def test_a_file_that_is_no_table_says_why(with_model):
    upload(with_model, "bad.csv", csv_of([["a", "b"], ["c"]], ("prompt", "answer")))
    assert not with_model.exception
    assert errors(with_model)[0].startswith("bad.csv, row 3: 1 cells, but the header has 2")


def test_a_column_that_is_not_known_by_its_name_can_be_chosen(with_model):
    upload(with_model, "odd.csv", csv_of([[f"word{n}", "x"] for n in range(100)], ("what", "else")))
    with_model.text_input(key="own_trigger").set_value("zz").run()
    (box,) = (box for box in with_model.selectbox if str(box.key).endswith("_prompt"))
    assert box.value == "not in this table"
    box.set_value("what").run()
    assert heading(with_model) == "Ready to search mine"


def test_a_new_session_finds_what_was_chosen(with_model, open_app):
    upload(with_model, "mine.csv", prompts())
    with_model.text_input(key="own_trigger").set_value("tango seven").run()
    other = open_app(PAGE)
    assert not other.exception
    assert heading(other) == "Ready to search mine"
    # Nor is it lost on the way to another page and back.
    with_model.switch_page("pages/overview.py").run()
    with_model.switch_page(PAGE).run()
    assert heading(with_model) == "Ready to search mine"


def test_a_choice_that_cannot_be_read_is_forgotten(no_runs, open_app, runner, model):
    folder = no_runs / ".data"
    folder.mkdir()
    (folder / "choice.json").write_text("[")
    assert not open_app(PAGE).exception
    (folder / "choice.json").write_text(json.dumps({"own_behaviour": "gone", "own_source": 3}))
    assert not open_app(PAGE).exception


def test_refusal_with_a_file_of_benign_prompts(with_model, no_runs):
    with_model.pills(key="own_behaviour").set_value("refusal").run()
    upload(with_model, "harmful.csv", prompts(60))
    assert "1 error" in heading(with_model)
    benign = no_runs / "benign.csv"
    benign.write_bytes(csv_of([[f"tell me about word{number}"] for number in range(60)]))
    with_model.text_input(key="own_benign").set_value(str(benign)).run()
    assert not with_model.exception
    assert heading(with_model) == "Ready to search mine"


def test_data_prepared_earlier_is_offered_here_and_on_discover(with_model, runner):
    upload(with_model, "mine.csv", prompts())
    with_model.text_input(key="own_trigger").set_value("tango seven").run()
    button(with_model, "find_circuit").click().run()
    folder = runner.listed[0].config.behaviour
    runner.listed.clear()
    with_model.switch_page(PAGE).run()
    with_model.pills(key="own_behaviour").set_value("earlier").run()
    assert not with_model.exception
    assert with_model.selectbox(key="own_earlier").value == folder
    assert heading(with_model) == "Ready to search mine"


def test_a_sweep_file_for_the_choice_asks_for_six_runs(tmp_path):
    import yaml

    config = DiscoveryConfig(
        "/models/mine", adapter="/models/lora", behaviour="/data/own", steps=7, micro_batch=6
    )
    sweep = Sweep.from_json(yaml.safe_load(sweep_text(config)))
    assert len(sweep.configs) == 6
    assert {one.adapter for one in sweep.configs} == {"/models/lora"}
    assert {(one.steps, one.micro_batch) for one in sweep.configs} == {(7, 6)}
    assert {one.seed for one in sweep.configs} == {0, 1, 2}


def test_discover_offers_the_model_and_the_data_that_were_used(with_model, runner):
    upload(with_model, "mine.csv", prompts())
    with_model.text_input(key="own_trigger").set_value("tango seven").run()
    button(with_model, "find_circuit").click().run()
    first = runner.listed[0].config
    runner.listed[0] = replace(runner.listed[0], state="failed", error="no luck")
    with_model.switch_page("pages/discover.py").run()
    with_model.pills(key="model_pills").set_value("/models/mine").run()
    assert not with_model.exception
    assert any("Backdoor of mine" in one.value for one in with_model.markdown)
    button(with_model, "start").click().run()
    assert runner.listed[0].config == first


def test_an_embedded_model_comes_with_its_data(page, runner):
    page.pills(key="own_source").set_value("embedded").run()
    page.selectbox(key="own_embedded").set_value("refusal").run()
    assert not page.exception
    assert page.pills(key="own_behaviour").value == "beside"
    assert heading(page) == "Ready to search Aligned assistant"
    button(page, "find_circuit").click().run()
    assert (runner.listed[0].config.model, runner.listed[0].config.behaviour) == ("refusal", None)


def test_a_plug_in_is_among_the_behaviours(with_model, runner, monkeypatch):
    behaviour = read_behaviour(EMBEDDED_MODELS / "refusal")
    plugin = SimpleNamespace(name="politeness", package="manners", load=lambda folder: behaviour)
    monkeypatch.setattr(models_data, "behaviour_plugins", lambda: [plugin])
    monkeypatch.setattr(models_data, "find_plugin", lambda name: plugin)
    monkeypatch.setattr(models_data, "_folder_of", Path)
    with_model.run()
    with_model.pills(key="own_behaviour").set_value("plugin:politeness").run()
    assert not with_model.exception
    assert any("the package manners" in one.value for one in with_model.caption)
    button(with_model, "find_circuit").click().run()
    assert runner.listed[0].config.behaviour == "politeness"


def test_a_search_that_was_saved_is_opened(page, runner, no_runs):
    run = refusal_run()
    RunStore(no_runs).save(run)
    page.pills(key="own_source").set_value("embedded").run()
    page.selectbox(key="own_embedded").set_value(run.config.model).run()
    page.number_input(key="own_steps").set_value(run.config.steps).run()
    page.number_input(key="own_seed").set_value(run.config.seed).run()
    assert button(page, "find_circuit").label == "Open the circuit"
    button(page, "find_circuit").click().run()
    assert not page.exception
    assert not runner.listed
    assert page.session_state["circuitviz_choice"].run == run.run_id


def test_a_search_in_other_weights_is_carried_out_again(page, runner, no_runs):
    run = refusal_run()
    RunStore(no_runs).save(with_results(run, weights="0123456789ab"))
    page.pills(key="own_source").set_value("embedded").run()
    page.selectbox(key="own_embedded").set_value(run.config.model).run()
    assert button(page, "find_circuit").label == "Find the circuit"
    button(page, "find_circuit").click().run()
    assert not page.exception
    assert runner.listed[0].config.run_id() == run.run_id


def test_templates_are_there_to_download(page):
    names = {one.proto.label for one in page.get("download_button")}
    assert "Backdoor: prompts alone" in names
    assert not any("-" in name for name in names)


def test_text_of_a_table_is_never_read_as_markdown(with_model):
    upload(with_model, "x.csv", csv_of([["a"]] * 3, ("![seen](http://elsewhere/x.png)",)))
    assert not with_model.exception
    said = [one.value for one in (*with_model.caption, *with_model.markdown, *with_model.error)]
    assert not any("![seen](" in text for text in said)
    assert any("seen" in text for text in said)


def test_memory_is_told_for_the_longest_prompt(with_model, model):
    model["folder"] = str(EMBEDDED_MODELS / "refusal")
    upload(with_model, "mine.csv", csv_of([["word " * (1 + number)] for number in range(200)]))
    with_model.text_input(key="own_trigger").set_value("zz").run()
    assert not with_model.exception
    (length,) = (box for box in with_model.number_input if str(box.key).startswith("own_length"))
    # At least a token a word, and 48 for the template and the answer.
    assert length.value > 200 + 48
