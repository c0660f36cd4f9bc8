from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.jobs.progress import JobProgress
from circuitviz.runs.config import DiscoveryConfig
from circuitviz.runs.store import RunStore
from circuitviz.runs.tuning_store import TuningStore
from circuitviz.ui import services
from circuitviz.ui.discover import model_picker
from circuitviz.ui.live import live_model
from tests.pages.reading import heading, plain, texts
from tests.support.synthetic import backdoor_run, refusal_run, with_results
from tests.support.synthetic_tuning import repair_tuning

DISCOVER = "pages/discover.py"


@pytest.fixture
def model(monkeypatch):
    """One embedded model, read without loading it."""
    card = SimpleNamespace(
        name="refusal", title="Aligned", summary="Refuses.", behaviour_kind="refusal", headline=True
    )
    behaviour = Behaviour(
        BehaviourSpec("refusal", "Refusal", "Who refuses?"),
        tuple(Prompt(role, "test", role, "any", "?", "No.") for role in ("attack", "benign")),
    )
    monkeypatch.setattr(services, "embedded_models", lambda: [card])
    monkeypatch.setattr(live_model, "live_behaviour", lambda config: behaviour)


def widgets(app) -> set[str]:
    widgets = [*app.number_input, *app.selectbox, *app.toggle]
    return {widget.key.removeprefix("setting_") for widget in widgets if widget.key}


def test_fields_are_shown_only_where_they_matter(runs, open_app, model, runner):
    app = open_app(DISCOVER)
    assert {"method", "steps", "budget", "granularity", "refine", "controls"} <= widgets(app)
    assert "l1_weight" not in widgets(app)
    app.selectbox(key="setting_method").set_value("l1").run()
    assert {"steps", "l1_weight"} <= widgets(app)
    app.selectbox(key="setting_method").set_value("activation").run()
    assert not {"steps", "l1_weight"} & widgets(app)
    app.selectbox(key="setting_granularity").set_value("heads").run()
    assert "budget" not in widgets(app)
    assert not app.exception


def test_every_setting_reaches_the_discovery(runs, open_app, model, runner):
    app = open_app(DISCOVER)
    app.selectbox(key="setting_method").set_value("l1").run()
    app.number_input(key="setting_l1_weight").set_value(0.25).run()
    app.selectbox(key="setting_granularity").set_value("layers").run()
    app.toggle(key="setting_refine").set_value(False).run()
    app.toggle(key="setting_controls").set_value(True).run()
    app.button(key="start").click().run()
    assert not app.exception
    assert runner.listed[0].config == DiscoveryConfig(
        model="refusal",
        method="l1",
        l1_weight=0.25,
        granularity="layers",
        refine=False,
        controls=True,
    )


def test_a_saved_run_without_controls_is_not_offered_instead_of_one_with(
    runs, open_app, model, runner
):
    app = open_app(DISCOVER, run=backdoor_run().run_id)
    assert "saved run" in app.info[0].value
    app.toggle(key="setting_controls").set_value(True).run()
    assert not app.info
    assert app.button(key="start").label == "Start discovery"
    app.toggle(key="setting_controls").set_value(False).run()
    app.button(key="open_saved").click().run()
    assert "refusals" in heading(app)


@pytest.mark.parametrize("made_from", ["weights", "data"])
def test_a_run_of_other_weights_or_prompts_is_not_offered_instead_of_a_new_one(
    runs, open_app, model, runner, made_from
):
    run = refusal_run()
    RunStore(runs).save(with_results(run, **{made_from: "0123456789ab"}))
    assert services.saved_run_of(run.config) is None
    (changed,) = services.changed_since(services.load_run(run.run_id))
    assert changed == {"weights": "the model's files", "data": "the prompts"}[made_from]
    app = open_app(DISCOVER)
    assert not app.info
    assert app.button(key="start").label == "Start discovery"


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("controls", "Running the controls"),
        ("evidence", "Gathering evidence"),
        ("a stage of tomorrow", "a stage of tomorrow"),
    ],
)
def test_stages_after_learning_are_told(runs, open_app, runner, stage, words):
    config = DiscoveryConfig(model="refusal", controls=True)
    runner.add(config, progress=JobProgress(stage, 0.7, step=100, steps=100))
    app = open_app(DISCOVER)
    assert not app.exception
    assert heading(app) == "Searching Aligned assistant"
    assert any(bar.proto.text.startswith(words) for bar in app.get("progress"))


@pytest.mark.parametrize("method", ["nested", "attribution", "single-unit", "random"])
def test_a_learner_without_losses_edge_or_scores_is_watched(runs, open_app, runner, method):
    config = DiscoveryConfig(model="refusal", method=method, granularity="heads")
    runner.add(config, progress=JobProgress("learn", 0.3, step=1, steps=1))
    app = open_app(DISCOVER)
    assert not app.exception
    drawn = any("live_loss" in chart.proto.id for chart in app.get("plotly_chart"))
    assert drawn is (method in ("nested", "attribution"))


def test_recent_discoveries_are_told_whole(runs, open_app, model, runner):
    done = backdoor_run(seed=3).config
    runner.add(done, "done", run_id=backdoor_run().run_id, finished=124.0)
    runner.add(DiscoveryConfig(model="x", budget="separate"), "failed", error="out of memory")
    app = open_app(DISCOVER)
    assert not app.exception
    failed, finished = [html for html in texts(app) if 'class="cv-job"' in html]
    assert "out of memory" in failed
    assert "separate budget" in failed
    assert "took 24 s" in finished
    app.button(key="open_job_job-0").click().run()
    assert "backdoor" in heading(app)


def test_runs_that_are_removed_while_they_are_listed_are_passed_over(runs, monkeypatch):
    there, run = RunStore(runs).ids(), backdoor_run()
    monkeypatch.setattr(RunStore, "ids", lambda store: ["removed", *there])
    assert list(services.run_configs()) == [card.run_id for card in services.run_cards()] == there
    TuningStore(runs).save(repair_tuning(run))
    listed = ["removed", repair_tuning(run).tuning_id]
    monkeypatch.setattr(TuningStore, "ids_of", lambda store, run_id: listed)
    assert list(services.tuning_configs(run.run_id)) == listed[1:]


def test_a_run_that_renames_the_others_is_opened_when_it_is_done(runs, open_app, model, runner):
    # With two runs of the model, the first one's title gains its seed.
    app = open_app(run=backdoor_run().run_id)
    new = backdoor_run(seed=4)
    job = runner.add(new.config)
    app.switch_page(DISCOVER).run()
    assert heading(app).startswith("Searching")
    RunStore(runs).save(new)
    runner.listed = [replace(job, state="done", run_id=new.run_id)]
    app.run()
    assert not app.exception
    assert "backdoor" in heading(app)
    assert app.session_state["circuitviz_choice"].run == new.run_id
    app.switch_page("pages/circuit.py").run()
    assert app.session_state["circuitviz_choice"].run == new.run_id


def test_a_setting_typed_just_before_the_click_is_of_the_discovery(runs, open_app, model, runner):
    app = open_app(DISCOVER)
    app.number_input(key="setting_seed").set_value(7)
    app.button(key="start").click().run()
    assert not app.exception
    assert [job.config.seed for job in runner.listed] == [7]


def test_a_second_click_on_start_starts_nothing(runs, open_app, model, runner):
    app = open_app(DISCOVER)
    app.button(key="start").click()
    clicked = app._tree.get_widget_states()
    for _ in range(2):
        app._run(clicked)
        assert not app.exception
    (job,) = runner.listed
    assert app.session_state["watched_job"] == job.job_id


def end(runner, job, state="done", **more):
    runner.listed = [
        replace(one, state=state, **more) if one.job_id == job.job_id else one
        for one in runner.listed
    ]


def test_a_discovery_that_ended_elsewhere_is_opened_by_a_button_alone(
    runs, open_app, model, runner
):
    app = open_app(DISCOVER, run=backdoor_run().run_id)
    app.button(key="start").click().run()
    assert heading(app).startswith("Searching")
    app.switch_page("pages/overview.py").run()
    end(runner, runner.listed[0], run_id=refusal_run().run_id)
    app.switch_page(DISCOVER).run()
    assert not app.exception
    assert heading(app) == "Let gradient descent find out"
    assert app.session_state["circuitviz_choice"].run == backdoor_run().run_id
    (told,) = app.success
    assert told.value == "The discovery of Aligned is finished."
    # It stays until it is used.
    app.toggle(key="setting_refine").set_value(False).run()
    app.button(key="open_ended_job-0").click().run()
    assert app.session_state["circuitviz_choice"].run == refusal_run().run_id
    app.switch_page(DISCOVER).run()
    assert not app.success


def test_a_discovery_that_failed_elsewhere_is_told_once(runs, open_app, model, runner):
    app = open_app(DISCOVER)
    app.button(key="start").click().run()
    app.switch_page("pages/overview.py").run()
    end(runner, runner.listed[0], "failed", error="out of `memory`")
    app.switch_page(DISCOVER).run()
    assert plain(app.error[0].value) == "The discovery failed: out of `memory`"
    app.run()
    assert not app.error


def test_somebody_elses_discovery_is_shown_and_is_nobody_elses_when_it_ends(
    runs, open_app, model, runner
):
    job = runner.add(DiscoveryConfig(model="refusal"))
    app = open_app(DISCOVER, run=backdoor_run().run_id)
    assert heading(app).startswith("Searching")
    app.switch_page("pages/overview.py").run()
    end(runner, job, run_id=refusal_run().run_id)
    app.switch_page(DISCOVER).run()
    assert not app.exception
    assert heading(app) == "Let gradient descent find out"
    assert not app.success
    assert app.session_state["circuitviz_choice"].run == backdoor_run().run_id


def test_ones_own_discovery_is_shown_before_others(runs, open_app, model, runner):
    app = open_app(DISCOVER)
    app.number_input(key="setting_seed").set_value(5)
    app.button(key="start").click().run()
    runner.add(DiscoveryConfig(model="refusal", seed=6))
    app.run()
    assert any("seed 5" in html for html in texts(app) if "cv-lead" in html)


def test_a_folder_is_named_in_full(runs, open_app, monkeypatch):
    monkeypatch.setattr(services, "embedded_models", list)
    monkeypatch.setattr(model_picker, "recent_models", dict)
    monkeypatch.setenv("HOME", "/home/of/somebody")
    app = open_app(DISCOVER)
    for typed, meant in (
        ("~/model ", "/home/of/somebody/model"),
        ("models/mine", str(Path("models/mine").resolve())),
    ):
        app.text_input[0].set_value(typed).run()
        assert not app.exception
        assert meant in plain(app.error[0].value)
