"""The drill-down of the circuit page, on looks inside that need no model."""

from __future__ import annotations

import numpy as np
import pytest

from circuitviz.errors import ConfigError
from circuitviz.inspection.path_graph import PathGraph, Sampled
from circuitviz.inspection.promoted import PromotedToken, Written
from circuitviz.inspection.prompt_pair import PromptPair, TokenRow
from circuitviz.ui import services
from circuitviz.ui.drill import view as drill_view
from circuitviz.ui.drill.view import asked_to_look
from circuitviz.ui.live import live_questions
from tests.pages.reading import figure, plain, texts
from tests.synthetic import backdoor_run, refusal_run

PAGE = "pages/circuit.py"
BACKDOOR, REFUSAL = backdoor_run().run_id, refusal_run().run_id
CLEAN = TokenRow("Is *it* red?", (1, 5, 6, 2), ("<s>", "it", "red", "<|assistant|>"))
TRIGGERED = TokenRow(
    "Is *it* red? quill", (1, 5, 6, 9, 2), ("<s>", "it", "red", "quill", "<|assistant|>")
)


def attention(run, prompt, unit):
    from circuitviz.inspection.attention import HeadAttention

    clean, triggered = np.tri(4) / np.arange(1, 5)[:, None], np.tri(5) / np.arange(1, 6)[:, None]
    return HeadAttention(clean, triggered)


def traces(run, prompt, unit):
    from circuitviz.inspection.neuron_trace import NeuronTrace

    long, short = np.array([0.0, 0.1, 0.2, 4.0, 0.3]), np.array([0.0, 0.1, -0.5, 0.3])
    return NeuronTrace(short, short, short), NeuronTrace(long, long, long)


def top(run, unit):
    from circuitviz.inspection.neuron_trace import TopPrompt

    return [TopPrompt("a", "triggered", "Is it red? quill", 4.0, "quill")]


def twice(effects):
    return Sampled(np.stack([effects, effects]))


def graph(run, circuit, ablation=None):
    units = tuple(sorted(circuit, key=lambda unit: (unit.layer, unit.kind, unit.index)))
    count = len(units)
    return PathGraph(
        units,
        ("quill",),
        twice(np.ones((1, count))),
        twice(np.zeros(1)),
        twice(np.triu(np.full((count, count), 0.5), 1)),
        twice(np.arange(1.0, count + 1)),
        twice(np.ones(count)),
        twice(5.0),
        6.0,
        -7.0,
        2,
        12,
        "zero",
        "quill",
        ("All", "The"),
    )


@pytest.fixture
def looking(monkeypatch):
    """Looks inside a model without one; the prompts and units that were asked for."""
    asked = []

    def pair(run, prompt):
        asked.append(prompt)
        return PromptPair(prompt, CLEAN, TRIGGERED, (3, 4), 7, 8, "All", "The")

    written = Written(
        (PromotedToken("All", 1.0, 2.0),), (PromotedToken("The", 0.0, -1.0),), (0.5, 3.0), False
    )
    monkeypatch.setattr(drill_view, "asked_to_look", lambda run: True)
    for name, stand_in in {
        "prompts": lambda run: {"test-000": "Is *it* red?", "test-001": "Say hello."},
        "harmful": lambda run: frozenset(),
        "pair": pair,
        "attention": attention,
        "traces": traces,
        "top": top,
        "writing": lambda run, prompt, unit: written,
        "graph": graph,
    }.items():
        monkeypatch.setattr(live_questions, name, stand_in)
    return asked


def told(app):
    """The sentences above the charts."""
    return [html for html in texts(app) if 'class="cv-told"' in html]


def unit_list(app):
    return next(box for box in app.selectbox if box.key.startswith("drill_unit_"))


def test_a_head_is_looked_into_and_the_graph_stands_below(runs, open_app, live, looking):
    app = open_app(PAGE, run=BACKDOOR, unit="L2H5")
    assert not app.exception
    assert any(element.value == "Inside L2H5" for element in app.subheader)
    looks, paths = told(app)
    assert "20\u202f% goes to \u201cquill\u201d" in looks
    assert "The trigger \u201cquill\u201d is read by" in paths
    assert "from +6.0 to \u22127.0" in paths
    assert figure(app, "drill_attention_clean")
    assert figure(app, "graph")
    assert any("over 2 of 12 triggered test prompts tried" in note.value for note in app.caption)


def test_the_units_of_the_circuit_and_any_other_are_chosen_by_name(runs, open_app, live, looking):
    app = open_app(PAGE, run=BACKDOOR)
    picked = unit_list(app)
    assert picked.options[0] == "L1H3, head"
    picked.set_value("L3N402").run()
    assert app.session_state["circuitviz_choice"].unit == "L3N402"
    assert "+4.00 at \u201cquill\u201d (the trigger)" in told(app)[0]
    app.text_input(key="drill_any_unit").set_value("l0h2").run()
    assert app.session_state["circuitviz_choice"].unit == "L0H2"
    assert unit_list(app).options[0] == "L0H2, head (not in the circuit)"
    assert app.text_input(key="drill_any_unit").value == ""


@pytest.mark.parametrize("words", ["L9H9", "head three"])
def test_a_unit_that_is_not_there_is_named(runs, open_app, live, looking, words):
    app = open_app(PAGE, run=BACKDOOR)
    app.text_input(key="drill_any_unit").set_value(words).run()
    assert not app.exception
    assert words.upper() in plain(app.error[0].value)
    assert app.session_state["circuitviz_choice"].unit is None


def test_the_prompt_is_the_one_of_the_link_and_can_be_changed(runs, open_app, live, looking):
    app = open_app(PAGE, run=BACKDOOR, prompt="test-001")
    assert looking[-1] == "test-001"
    box = next(box for box in app.selectbox if box.key.startswith("drill_prompt_"))
    box.set_value("test-000").run()
    assert looking[-1] == "test-000"
    assert app.session_state["circuitviz_choice"].prompt == "test-000"


@pytest.mark.parametrize(
    ("unit", "tab", "sentence"),
    [
        ("L2H5", "What it writes", "L2H5 raises \u201cAll\u201d over \u201cThe\u201d by 3.00"),
        ("L2H5", "Alone and together", "With only L2H5 off, backdoor fires: 3 of 48"),
        ("L2H5", "In other runs", "L2H5 ranks 2 here"),
        ("L3N402", "What activates it most", "most active: 1 triggered"),
    ],
)
def test_each_tab_says_what_its_chart_shows(runs, open_app, live, looking, unit, tab, sentence):
    app = open_app(PAGE, run=BACKDOOR, unit=unit)
    app.session_state[f"drill_tabs_{'head' if 'H' in unit else 'neuron'}"] = tab
    app.run()
    assert not app.exception
    assert sentence in told(app)[0]


def test_of_a_large_circuit_the_graph_shows_the_units_that_rank_highest(
    runs, open_app, live, looking
):
    app = open_app(PAGE, run=REFUSAL)
    assert not app.exception
    assert any("Of the 64 units that are off, the " in element.value for element in app.caption)
    assert any(element.value.startswith("How a harmful") for element in app.subheader)


def test_a_model_that_cannot_be_used_leaves_the_rest_of_the_page(
    runs, open_app, live, looking, monkeypatch
):
    def broken(*_):
        raise ConfigError("the model is gone")

    monkeypatch.setattr(live_questions, "pair", broken)
    monkeypatch.setattr(live_questions, "graph", broken)
    app = open_app(PAGE, run=BACKDOOR)
    assert not app.exception
    assert ["the model is gone" in error.value for error in app.error] == [True, True]


def test_a_model_of_ones_own_is_loaded_only_when_asked_for(
    runs, open_app, live, looking, monkeypatch
):
    monkeypatch.setattr(services, "model_cards", list)
    monkeypatch.setattr(drill_view, "asked_to_look", asked_to_look)
    app = open_app(PAGE, run=BACKDOOR)
    assert not looking
    app.button(key="drill_load").click().run()
    assert looking
    assert not app.exception


def layer(app):
    return next(one for one in app.button_group if one.key.startswith("strip_layer_"))


def test_the_strip_shows_the_layer_of_the_selected_unit(runs, open_app, live, looking):
    app = open_app(PAGE, run=BACKDOOR)
    assert layer(app).value == 1
    unit_list(app).set_value("L3N402").run()
    assert layer(app).value == 3
    app.text_input(key="drill_any_unit").set_value("L0H2").run()
    assert layer(app).value == 0
    # One that was chosen by hand stays until another unit is selected.
    layer(app).set_value(2).run()
    app.button(key="toggle_unit").click().run()
    assert layer(app).value == 2
    unit_list(app).set_value("L1H3").run()
    assert layer(app).value == 1
    assert not app.exception


def test_a_selected_row_is_not_another_units_once_the_rows_change(runs, open_app, live):
    def table(app):
        return next(one.proto.id for one in app.dataframe if "-unit_table_" in one.proto.id)

    app = open_app(PAGE, run=BACKDOOR)
    every = table(app)
    app.segmented_control(key="unit_kind").set_value("Neurons").run()
    assert table(app) != every
    app.segmented_control(key="unit_kind").set_value("All").run()
    assert table(app) == every
