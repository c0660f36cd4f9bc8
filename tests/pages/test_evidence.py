from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from circuitviz.runs.store import RunStore
from circuitviz.ui import services
from tests.pages.reading import heading, texts
from tests.support.synthetic import backdoor_run, controlled_run, failing_run, refusal_run

PASSING, FAILING, REFUSAL = controlled_run().run_id, failing_run().run_id, refusal_run().run_id


def panel(app: AppTest) -> str:
    return next(html for html in texts(app) if 'class="cv-controls"' in html)


FOLDS = [
    "Faithful, complete, minimal",
    "The circuit kept while the rest is ablated bit by bit",
    "The same circuit under each kind of ablation",
    "What other judges say",
    "Before and after, prompt by prompt",
    "Against the units it was planted in",
]


def folds(app: AppTest) -> list[str]:
    """Titles of those of `FOLDS` that are there; a new chart of the catalogue adds another."""
    labels = (expander.label.split(":")[0] for expander in app.main.expander)
    return [label for label in labels if label in FOLDS]


def test_controls_that_pass_say_so_and_the_evidence_is_folded_below(family, open_app):
    app = open_app(run=PASSING)
    assert not app.exception
    assert "4 of 4 controls behave" in panel(app)
    assert panel(app).count("</span> passes</div>") == 4
    assert folds(app) == FOLDS
    assert not [button for button in app.button if button.key == "run_controls"]


def test_controls_that_fail_are_named_first(family, open_app):
    app = open_app(run=FAILING)
    assert "2 controls FAILED: Random circuits, Nonsense target" in panel(app)
    assert panel(app).count('class="cv-control cv-no"') == 2


def test_formulas_are_one_click_away(family, open_app):
    app = open_app(run=PASSING)
    assert not any("**Faithfulness** $=" in element.value for element in app.markdown)
    for fold in ("criteria", "stochastic", "ablations", "judges", "paired", "truth"):
        app.session_state[f"fold_{fold}"] = True
    app.run()
    assert not app.exception
    said = "\n".join(element.value for element in app.markdown)
    for name in ("**Faithfulness** $=", "**Completeness** $=", "**Minimality** $=", "McNemar"):
        assert name in said


def test_a_run_without_truth_or_controls_shows_what_it_has(tmp_path, family, open_app):
    RunStore(Path(family)).save(refusal_run(seed=1, evidence="basic"))
    app = open_app(run=refusal_run(seed=1).run_id)
    assert not app.exception
    assert folds(app) == [FOLDS[4]]
    assert "The controls have not been run" in panel(app)


def test_a_refusal_has_no_trigger_to_replace(family, open_app):
    RunStore(Path(family)).save(refusal_run(seed=2, evidence="passes", controls=True))
    app = open_app(run=refusal_run(seed=2).run_id)
    assert not app.exception
    assert "3 of 3 controls behave; 1 does not apply" in panel(app)


def test_the_controls_are_run_from_the_overview_and_watched_on_discover(family, open_app, runner):
    app = open_app(run=REFUSAL)
    assert "The controls have not been run" in panel(app)
    app.button(key="run_controls").click().run()
    assert not app.exception
    (job,) = runner.listed
    assert job.config.controls
    assert job.config.run_id() == REFUSAL
    assert heading(app) == "Searching Aligned assistant"


def test_controls_that_are_under_way_are_not_started_twice(family, open_app, runner):
    runner.add(refusal_run(controls=True).config)
    app = open_app(run=REFUSAL)
    assert not [button for button in app.button if button.key == "run_controls"]
    assert "being carried out" in app.info[0].value


@pytest.mark.parametrize(("run", "saved"), [(controlled_run(), True), (refusal_run(), False)])
def test_a_run_without_controls_does_not_stand_for_one_with(family, run, saved):
    with_controls = type(run.config)(**{**run.config.to_json(), "controls": True})
    assert (services.saved_run_of(with_controls) == run.run_id) is saved
    without = type(run.config)(**{**run.config.to_json(), "controls": False})
    assert services.saved_run_of(without) == run.run_id


def test_a_damaged_run_is_no_saved_run(family):
    run = backdoor_run(seed=9, controls=True)
    (Path(family) / run.run_id).mkdir()
    assert services.saved_run_of(run.config) is None
