from pathlib import Path

from circuitviz.runs.store import RunStore
from tests.pages.reading import (
    compare_picker,
    figure,
    heading,
    method_picker,
    plain,
    run_picker,
    texts,
)
from tests.support.synthetic import (
    backdoor_run,
    controlled_run,
    failing_run,
    other_method_run,
    other_seed_run,
    refusal_run,
    with_results,
)

COMPARE, TRADEOFF = "pages/compare.py", "pages/tradeoff.py"
FIRST, SEED, METHOD = (
    run.run_id for run in (controlled_run(), other_seed_run(), other_method_run())
)
FAILING, REFUSAL = failing_run().run_id, refusal_run().run_id


def charts(app) -> set[str]:
    keys = ("head_difference", "head_membership", "overlap", "neuron_counts", "overlay")
    ids = [chart.proto.id for chart in app.get("plotly_chart")]
    return {key for key in keys if any(name.endswith(f"-{key}") for name in ids)}


def test_two_runs_are_compared_head_by_head(family, open_app):
    app = open_app(COMPARE, run=FIRST, compare=SEED)
    assert not app.exception
    assert heading(app) == (
        "They partly agree: Jaccard 0.60, by chance 0.02; 3 units are in the circuit of both runs"
    )
    assert charts(app) == {"head_difference", "neuron_counts"}
    tables = "".join(html for html in texts(app) if "cv-table" in html)
    assert "A · Nested masks · seed 0" in tables
    assert "B · Nested masks · seed 1" in tables


def test_three_runs_have_an_overlap_matrix(family, open_app):
    app = open_app(COMPARE, run=FIRST, compare=f"{SEED},{METHOD}")
    assert not app.exception
    assert "all 3 runs" in heading(app)
    assert charts(app) == {"head_membership", "neuron_counts", "overlap"}


def test_without_a_choice_other_seeds_and_methods_are_taken_and_the_link_says_so(family, open_app):
    app = open_app(COMPARE, run=FIRST)
    assert not app.exception
    assert compare_picker(app).value == [SEED, METHOD]
    assert app.session_state["circuitviz_choice"].compare == (SEED, METHOD)


def test_a_comparison_that_was_emptied_stays_empty(family, open_app):
    app = open_app(COMPARE, run=FIRST)
    compare_picker(app).set_value([]).run()
    assert heading(app) == "There is nothing to compare yet"
    compare_picker(app).set_value([FAILING]).run()
    assert heading(app).startswith("They agree: Jaccard 1.00")


def test_a_run_of_another_model_is_named_and_left_out(family, open_app):
    app = open_app(COMPARE, run=FIRST, compare=f"{REFUSAL},{SEED}")
    assert not app.exception
    (warning,) = app.warning
    words = plain(warning.value)
    assert REFUSAL in words
    assert "another model (Aligned assistant)" in words
    assert "both runs" in heading(app)


def test_a_run_that_is_gone_is_named(family, open_app):
    app = open_app(COMPARE, run=FIRST, compare="gone")
    assert not app.exception
    assert "'gone'" in plain(app.warning[0].value)
    assert heading(app) == "There is nothing to compare yet"


def test_a_model_with_one_run_says_where_another_comes_from(family, open_app):
    app = open_app(COMPARE, run=REFUSAL)
    assert not app.exception
    assert heading(app) == "There is nothing to compare yet"
    assert not app.multiselect


def test_methods_are_drawn_on_the_same_axes(family, open_app):
    app = open_app(TRADEOFF, run=FIRST, compare=f"{SEED},{METHOD}")
    assert not app.exception
    lines = [trace["name"] for trace in figure(app, "-overlay")["data"]]
    for label in (
        "Nested masks · seed 0",
        "Nested masks · seed 1",
        "Integrated gradients · seed 0",
    ):
        assert label in lines
    summary = next(html for html in texts(app) if "frontier area" in html)
    assert summary.count("<tr>") == 4


def test_the_rate_that_is_compared_can_be_changed(family, open_app):
    app = open_app(TRADEOFF, run=FIRST, compare=SEED)
    app.segmented_control(key="overlay_series").set_value("utility").run()
    assert not app.exception
    title = figure(app, "-overlay")["layout"]["yaxis"]["title"]["text"]
    assert title == "Utility, share of test prompts"


def test_runs_of_two_judges_are_not_drawn_together(family, open_app):
    named = {"judge": "a classifier"}
    asr = {"intact": named, "knocked_out": named}
    run = with_results(backdoor_run(seed=5, evidence="basic"), asr=asr)
    RunStore(Path(family)).save(run)
    app = open_app(TRADEOFF, run=FIRST, compare=run.run_id)
    assert not app.exception
    assert "a classifier" in plain(app.warning[0].value)
    lines = [trace["name"] for trace in figure(app, "-overlay")["data"]]
    assert "Nested masks · seed 5" not in lines


def test_nothing_is_overlaid_until_it_is_asked_for(family, open_app):
    app = open_app(TRADEOFF, run=FIRST)
    assert not app.exception
    assert charts(app) == set()
    compare_picker(app).set_value([METHOD]).run()
    assert charts(app) == {"overlay"}


def test_a_method_not_yet_run_is_started_from_the_tradeoff(family, open_app, runner):
    app = open_app(TRADEOFF, run=FIRST)
    offered = method_picker(app).options
    assert "Nested masks" not in offered
    assert "Integrated gradients" not in offered
    method_picker(app).set_value("random").run()
    app.button(key="run_method").click().run()
    assert not app.exception
    (job,) = runner.listed
    assert (job.config.method, job.config.seed, job.config.controls) == ("random", 0, False)
    assert app.button(key="run_method").disabled
    assert "Random order is running" in app.info[0].value


def test_a_method_chosen_just_before_the_click_is_run_once(family, open_app, runner):
    app = open_app(TRADEOFF, run=FIRST)
    method_picker(app).set_value("random")
    app.button(key="run_method").click()
    clicked = app._tree.get_widget_states()
    for _ in range(2):
        app._run(clicked)
        assert not app.exception
    assert [job.config.method for job in runner.listed] == ["random"]


def test_changing_the_run_drops_what_was_compared(family, open_app):
    app = open_app(run=FIRST, compare=METHOD)
    run_picker(app).set_value(REFUSAL).run()
    assert not app.exception
    assert app.session_state["circuitviz_choice"].compare == ()


def test_circuits_of_heads_alone_have_no_chart_of_neurons(open_app):
    # Runs that ship: a backdoor planted in four heads.
    first, second = (
        "fixed-output-planted-nested-s0-fc596065",
        "fixed-output-planted-nested-s1-6923c7a6",
    )
    app = open_app(COMPARE, run=first, compare=second)
    assert not app.exception
    assert charts(app) == {"head_difference"}
    assert "None of these circuits holds a neuron: all are heads." in [
        note.value for note in app.info
    ]
