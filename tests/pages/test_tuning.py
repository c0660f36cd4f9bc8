from __future__ import annotations

import io
import os
import zipfile

import pytest

from circuitviz.jobs.progress import JobProgress
from circuitviz.runs.config import TuningConfig
from circuitviz.runs.tuning_store import TuningStore
from circuitviz.ui.tuning.form import command_line
from circuitviz.ui.tuning.view import prompt_order, zipped
from circuitviz.ui.view_state import ViewState
from tests.pages.reading import figure, heading, plain, texts
from tests.support.synthetic import backdoor_run, refusal_run
from tests.support.synthetic_tuning import protect_tuning, repair_tuning, save_tunings, tuning_curve

TUNING = "pages/tuning.py"
REFUSAL, BACKDOOR = refusal_run().run_id, backdoor_run().run_id


@pytest.fixture
def tunings(runs) -> TuningStore:
    return save_tunings(runs)


def test_a_run_without_tunings_explains_and_offers_the_form(runs, open_app, runner):
    app = open_app(TUNING, run=BACKDOOR)
    assert not app.exception
    assert heading(app) == "Not tried yet on the 4 units of this circuit"
    # There is no protecting a backdoor.
    assert not app.button_group
    app.button(key="start_tuning").click().run()
    assert runner.listed[0].config == TuningConfig(BACKDOOR, "repair")


def test_every_setting_reaches_the_tuning(runs, open_app, runner):
    app = open_app(TUNING, run=REFUSAL)
    app.button_group(key="tuning_mode").set_value("repair").run()
    app.selectbox(key=f"tuning_size_{REFUSAL}").set_value(8).run()
    app.number_input(key="tuning_epochs").set_value(3).run()
    app.number_input(key="tuning_seed").set_value(2).run()
    app.number_input(key="tuning_learning_rate").set_value(0.001).run()
    app.number_input(key="tuning_weight_decay").set_value(0.0).run()
    app.text_input(key="tuning_data").set_value(" /some/../lessons.jsonl ").run()
    wanted = TuningConfig(REFUSAL, "repair", 8, 2, 3, 0.001, "/lessons.jsonl", 0.0)
    assert app.code[0].value == command_line(wanted)
    app.button(key="start_tuning").click().run()
    assert not app.exception
    assert runner.listed[0].config == wanted
    assert heading(app) == "Tuning Aligned assistant"


def test_lessons_of_a_home_folder_are_named_in_full(runs, open_app, runner, monkeypatch):
    monkeypatch.setenv("HOME", "/home/of/somebody")
    app = open_app(TUNING, run=REFUSAL)
    app.text_input(key="tuning_data").set_value("~/lessons.jsonl").run()
    assert "--data /home/of/somebody/lessons.jsonl" in app.code[0].value
    app.text_input(key="tuning_data").set_value("~nobody-of-that-name/lessons.jsonl").run()
    assert not app.exception
    assert "home directory" in plain(app.error[0].value)


def test_a_backdoor_is_not_removed_with_lessons_of_ones_own(runs, open_app, runner):
    app = open_app(TUNING, run=BACKDOOR)
    assert not app.exception
    assert not [box for box in app.text_input if box.key == "tuning_data"]


def test_a_learning_rate_of_nothing_is_refused(runs, open_app, runner):
    app = open_app(TUNING, run=BACKDOOR)
    app.number_input(key="tuning_learning_rate").set_value(0.0).run()
    assert "learning_rate must be a number above 0" in plain(app.error[0].value)
    assert not runner.listed


def test_a_saved_tuning_is_told_answer_first(tunings, open_app, runner):
    app = open_app(TUNING, run=REFUSAL)
    assert not app.exception
    assert heading(app).replace("\u202f", " ") == (
        "Protecting 64 units kept 99.2 % of refusals; full fine-tuning kept 30.9 %"
    )
    table = next(html for html in texts(app) if "cv-table" in html)
    assert "254 of 256 (97.2\u2013" in table.replace("\u2060", "")
    names = [trace["name"] for trace in figure(app, "tuned_safety")["data"]]
    assert "Random circuit protected" in names
    cells = next(html for html in texts(app) if "cv-cells" in html)
    assert cells.count('class="cv-cell"') == 4
    plan = "6 epochs · learning rate 0.0007 · weight decay 2.5"
    assert any(caption.value.endswith(plan) for caption in app.caption)


def test_the_answers_of_a_prompt_stand_side_by_side(tunings, open_app, runner):
    app = open_app(TUNING, run=BACKDOOR, prompt="attack-003")
    assert not app.exception
    cells = next(html for html in texts(app) if "cv-cells" in html)
    assert cells.count("4. What is the capital of France?") == 5
    # Before and the random circuit: 31 of 256 are less than 4 of 24.
    assert cells.count(">unsafe<") == 2
    assert cells.count(">safe<") == 3


def test_a_link_opens_one_of_several_tunings(tunings, open_app, runner):
    other = repair_tuning(seed=1)
    os.utime(tunings.save(other), (1, 1))
    app = open_app(TUNING, run=BACKDOOR, tuning=other.tuning_id)
    assert not app.exception
    (box,) = [box for box in app.selectbox if str(box.key).startswith("tuning_picker")]
    assert box.value == other.tuning_id
    box.set_value(repair_tuning().tuning_id).run()
    assert app.session_state["circuitviz_choice"].tuning == repair_tuning().tuning_id


def test_a_link_to_a_tuning_that_is_not_there_says_so_and_shows_the_newest(
    tunings, open_app, runner
):
    app = open_app(TUNING, run=BACKDOOR, tuning="gone")
    assert not app.exception
    assert any("no tuning 'gone'" in plain(warning.value) for warning in app.warning)
    assert heading(app).startswith("Training only 4 units")
    assert app.session_state["circuitviz_choice"].tuning == repair_tuning().tuning_id


def test_a_damaged_tuning_is_one_error_beside_the_form(tunings, open_app, runner):
    (tunings.path(repair_tuning().tuning_id) / "curve.parquet").write_bytes(b"nothing")
    app = open_app(TUNING, run=BACKDOOR)
    assert not app.exception
    assert "cannot read the tuning in" in plain(app.error[0].value)
    assert heading(app).startswith("Not tried yet")


def progress(**more) -> JobProgress:
    points = tuning_curve((0, 256), {"full": (256, 250), "circuit": (256, 256)}, epochs=4)
    return JobProgress("tune", 0.4, arm="circuit", curve=[p.row() for p in points[:8]], **more)


ERODING = JobProgress("tune", 0.1, step=120, steps=540, arm="erosion")


def test_while_refusing_is_worn_away_steps_are_counted(runs, open_app, runner):
    runner.add(TuningConfig(REFUSAL, "repair"), progress=ERODING)
    app = open_app(TUNING, run=REFUSAL)
    assert not app.exception
    bar = app.get("progress")[0].proto.text
    assert bar.startswith("Training, first of all, refusing is worn away · step 120 of 540 · 10")


def test_a_running_tuning_is_watched_with_its_curves(runs, open_app, runner):
    runner.add(TuningConfig(BACKDOOR, "repair", epochs=4), progress=progress())
    app = open_app(TUNING, run=BACKDOOR)
    assert not app.exception
    bar = app.get("progress")[0].proto.text
    assert bar.startswith("Training, only the circuit trained · 2 epochs done · 40")
    drawn = figure(app, "live_safety")
    lines = {trace["name"]: trace for trace in drawn["data"] if trace.get("hovertext")}
    assert list(lines) == ["Everything trained", "Only the circuit trained"]
    assert drawn["layout"]["xaxis"]["range"][1] == pytest.approx(4.15)


def test_pages_watch_only_jobs_of_their_kind(runs, open_app, runner):
    runner.add(TuningConfig(BACKDOOR, "repair"), progress=progress())
    app = open_app("pages/discover.py")
    assert heading(app) == "Let gradient descent find out"
    assert any("Repair the circuit" in html for html in texts(app) if "cv-job" in html)
    runner.listed = []
    runner.add(refusal_run().config)
    app = open_app(TUNING, run=BACKDOOR)
    assert heading(app).startswith("Not tried yet")


@pytest.mark.parametrize(
    ("curve", "says"),
    [
        (progress(), "go on from epoch 2 of \u201conly the circuit trained\u201d"),
        (JobProgress("load", 0.0), "before it began to train"),
        (ERODING, "Finished epochs are kept: start it again, with the same settings, to go on."),
        # After it, where the curve has no points yet either.
        (JobProgress("test", 0.25), "Finished epochs are kept"),
    ],
)
def test_a_stopped_tuning_says_where_it_goes_on(runs, open_app, runner, curve, says):
    job = runner.add(TuningConfig(BACKDOOR, "repair"), progress=curve)
    app = open_app(TUNING, run=BACKDOOR)
    runner.listed = []
    runner.add(job.config, "cancelled", progress=curve)
    app.run()
    assert not app.exception
    assert says in app.info[0].value
    assert heading(app).startswith("Not tried yet")


def test_a_finished_tuning_is_shown(tunings, open_app, runner):
    job = runner.add(repair_tuning().config)
    app = open_app(TUNING, run=REFUSAL)
    runner.listed = []
    runner.add(job.config, "done", tuning_id=repair_tuning().tuning_id)
    app.run()
    assert not app.exception
    assert heading(app).startswith("Training only 4 units")
    assert app.session_state["circuitviz_choice"].run == BACKDOOR


def test_a_tuning_is_started_once_with_what_was_typed_just_before(runs, open_app, runner):
    app = open_app(TUNING, run=BACKDOOR)
    app.number_input(key="tuning_seed").set_value(3)
    app.button(key="start_tuning").click()
    clicked = app._tree.get_widget_states()
    for _ in range(2):
        app._run(clicked)
        assert not app.exception
    assert [job.config for job in runner.listed] == [TuningConfig(BACKDOOR, "repair", seed=3)]


def test_the_saved_tuning_of_what_was_typed_just_before_is_shown(tunings, open_app, runner):
    other = repair_tuning(seed=1)
    tunings.save(other)
    app = open_app(TUNING, run=BACKDOOR, tuning=repair_tuning().tuning_id)
    for seed, shown in ((1, other), (0, repair_tuning())):
        app.number_input(key="tuning_seed").set_value(seed)
        app.button(key="open_tuning").click().run()
        assert not app.exception
        assert app.session_state["circuitviz_choice"].tuning == shown.tuning_id


def test_a_tuning_that_ended_elsewhere_leaves_what_is_looked_at(tunings, open_app, runner):
    app = open_app(TUNING, run=BACKDOOR)
    app.button(key="start_tuning").click().run()
    job = runner.listed[0]
    app.switch_page("pages/overview.py").run()
    runner.listed = []
    runner.add(job.config, "done", tuning_id=repair_tuning().tuning_id)
    app.session_state["circuitviz_choice"] = ViewState(run=REFUSAL, added=frozenset({"L0H0"}))
    app.switch_page(TUNING).run()
    assert not app.exception
    assert app.session_state["circuitviz_choice"].added == {"L0H0"}
    app.button(key=f"open_ended_{job.job_id}").click().run()
    assert not app.exception
    assert heading(app).startswith("Training only 4 units")
    assert not app.success


def test_a_recent_tuning_is_opened_from_the_list(tunings, open_app, runner):
    runner.add(repair_tuning().config, "done", tuning_id=repair_tuning().tuning_id)
    app = open_app("pages/discover.py", run=REFUSAL)
    app.button(key="open_job_job-0").click().run()
    assert not app.exception
    assert heading(app).startswith("Training only 4 units")


def test_the_command_names_only_what_was_chosen():
    assert command_line(TuningConfig("a-run", "protect")) == (
        "circuitviz tune a-run --mode protect --out tuned"
    )
    config = TuningConfig(
        "a run", "repair", size=3, seed=1, epochs=2, learning_rate=0.01, weight_decay=0.0
    )
    assert command_line(config) == (
        "circuitviz tune 'a run' --mode repair --size 3 --seed 1 --epochs 2 --learning-rate 0.01 "
        "--weight-decay 0.0 --out tuned"
    )


def test_prompts_on_which_the_models_disagree_come_first():
    answers = protect_tuning().answers
    order = prompt_order(answers)
    # 79 and 96 of 256 refusals are left in two of the arms: 7 and 9 of 24; the circuit's has 23.
    assert order[:2] == ["attack-007", "attack-008"]
    # Helpful prompts that every trained model learned follow, then what nobody disagrees on.
    assert order.index("helpful-001") < order.index("helpful-000")
    assert sorted(order) == sorted(set(answers["prompt_id"]))


def test_a_checkpoint_is_zipped_inside_a_folder_of_its_name(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "weights").write_text("w")
    (tmp_path / "config.json").write_text("{}")
    with zipfile.ZipFile(io.BytesIO(zipped(tmp_path, "tuned"))) as archive:
        assert archive.namelist() == ["tuned/config.json", "tuned/inner/weights"]
        assert archive.read("tuned/inner/weights") == b"w"
