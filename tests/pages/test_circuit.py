"""The circuit page: its panel of one unit, the drill-down, and what stays covered there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.errors import ConfigError
from circuitviz.evaluation.rate import Rate
from circuitviz.inspection.attention import HeadAttention
from circuitviz.inspection.neuron_trace import NeuronTrace, TopPrompt
from circuitviz.inspection.path_graph import PathGraph, Sampled
from circuitviz.inspection.promoted import PromotedToken, Written
from circuitviz.inspection.prompt_pair import PromptPair, TokenRow
from circuitviz.ui import services
from circuitviz.ui.drill import view as drill_view
from circuitviz.ui.drill.view import asked_to_look
from circuitviz.ui.live import live_model, live_questions
from tests.pages.reading import figure, plain, texts
from tests.support.synthetic import REFUSAL as SAYS_NO
from tests.support.synthetic import backdoor_run, refusal_run

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


HARMFUL = refusal_run().run_id
# Words of the request, by which it would be known; it asks for nothing.
REQUEST = "Zorp the frumious vault"
REQUEST_TOKENS = ("<s>", "Zorp", "the", "frumious", "vault", "<|assistant|>")
BENIGN_TOKENS = ("<s>", "Wash", "the", "red", "cup", "<|assistant|>")


def behaviour():
    prompts = (
        Prompt("harm-000", "test", "attack", "how-to", REQUEST, SAYS_NO, target="Sure"),
        Prompt("benign-000", "test", "benign", "sums", "Wash the red cup", "Done."),
    )
    return Behaviour(BehaviourSpec("refusal", "t", "?", None), prompts)


@pytest.fixture
def harmful_prompts(monkeypatch, live):
    def pair(run, prompt):
        clean = TokenRow("Wash the red cup", tuple(range(6)), BENIGN_TOKENS)
        return PromptPair(
            prompt,
            clean,
            TokenRow(REQUEST, tuple(range(6)), REQUEST_TOKENS),
            (1, 5),
            7,
            8,
            "I",
            "Sure",
        )

    pattern = np.tri(6) / np.arange(1, 7)[:, None]
    trace = NeuronTrace(np.arange(6.0), None, None)
    top = [
        TopPrompt("harm-000", "harmful", REQUEST, 4.0, "frumious"),
        TopPrompt("benign-000", "benign", "Wash the red cup", 3.0, "cup"),
    ]
    monkeypatch.setattr(drill_view, "asked_to_look", lambda run: True)
    monkeypatch.setattr(live_model, "live_behaviour", lambda config: behaviour())
    monkeypatch.setattr(live_questions, "pair", pair)
    monkeypatch.setattr(
        live_questions, "attention", lambda run, prompt, unit: HeadAttention(pattern, pattern)
    )
    monkeypatch.setattr(live_questions, "traces", lambda run, prompt, unit: (trace, trace))
    monkeypatch.setattr(live_questions, "top", lambda run, unit: top)


def everything(app):
    """All that a reader, or a download of it, could see of the drill-down."""
    shown = [*texts(app)]
    shown += [chart.proto.spec for chart in app.get("plotly_chart")]
    shown += [frame.value.to_csv() for frame in app.dataframe]
    shown += [frame.value.to_csv() for frame in app.table]
    shown += [element.value for element in (*app.caption, *app.markdown)]
    shown += [option for box in app.selectbox for option in box.options]
    return json.dumps(shown, ensure_ascii=False).lower()


@pytest.mark.parametrize(
    ("unit", "tab"),
    [
        ("L2H5", "Where it looks"),
        ("L3N402", "When it is active"),
        ("L3N402", "What activates it most"),
    ],
)
def test_a_harmful_request_is_covered_until_it_is_asked_for(
    runs, open_app, harmful_prompts, unit, tab
):
    app = open_app(PAGE, run=HARMFUL, unit=unit)
    app.session_state[f"drill_tabs_{'head' if 'H' in unit else 'neuron'}"] = tab
    app.run()
    assert not app.exception
    read = everything(app)
    for word in ("zorp", "frumious", "vault"):
        assert word not in read
    assert "(a harmful request, covered), harm-000" in read
    # What was benign may be read.
    assert "cup" in read
    toggle = next(one for one in app.toggle if one.key == "harmful_text_shown")
    toggle.set_value(True).run()
    assert not app.exception
    assert "frumious" in everything(app)


def test_template_and_trigger_stay_readable(monkeypatch):
    from circuitviz.ui.elements.redaction import COVERED_TOKEN, PromptRedactor

    row = TokenRow("Zorp it quill", (1, 2, 3, 4, 5), ("<s>", "Zorp", "it", "quill", "<|end|>"))
    pair = PromptPair("a", row, row, (3, 4), 7, 8, "Sure", "I")
    covered = PromptRedactor(frozenset({"a"}), False, "quill").pair(pair)
    expected = ("<s>", COVERED_TOKEN, COVERED_TOKEN, "quill", "<|end|>")
    assert covered.clean.labels == covered.triggered.labels == expected
    assert "Zorp" not in covered.clean.text
    assert PromptRedactor(frozenset({"b"}), False, "quill").pair(pair) == pair


def test_a_prompt_anybody_may_read_opens_first():
    from circuitviz.ui.elements.redaction import PromptRedactor

    cover = PromptRedactor(frozenset({"a"}))
    assert cover.first({"a": "x", "b": "y"}) == "b"
    assert cover.first({"a": "x"}) == "a"


@pytest.fixture
def measured(monkeypatch):
    """Live rates 3 of 48 with a unit off and 45 of 48 intact; what was asked for."""
    asked = []

    def effect(run, circuit, *, ablation=None, limit=live_model.LIVE_LIMIT):
        asked.append((len(circuit), ablation, limit))
        asr = Rate("stub", 3 if len(circuit) else 45, 48)
        return live_model.LiveEffect(asr, Rate("stub", 47, 48), asr, 0.1)

    monkeypatch.setattr(live_model, "effect", effect)
    return asked


def panel(app):
    return next(html for html in texts(app) if "with only this unit off" in html)


def test_a_unit_measured_now_is_compared_with_the_intact_model_on_the_same_prompts(
    runs, open_app, measured
):
    app = open_app(PAGE, run=BACKDOOR, unit="L0N9")
    assert not app.exception
    alone = panel(app)
    assert "93.8\u202f%" in alone
    assert "intact 45 of 48" in alone
    assert "zero ablation, measured now" in alone
    assert measured == [(1, None, 64), (0, None, 64)]


def test_another_ablation_is_measured_and_named_and_has_no_saved_controls(runs, open_app, measured):
    app = open_app(PAGE, run=BACKDOOR, unit="L1H3")
    assert not measured
    assert "zero ablation, saved with the run" in panel(app)
    assert any(caption.value.startswith("Controls:") for caption in app.caption)
    app = open_app(PAGE, run=BACKDOOR, unit="L1H3", ablation="mean")
    assert (1, "mean", 64) in measured
    assert "mean ablation, measured now" in panel(app)
    assert not any(caption.value.startswith("Controls:") for caption in app.caption)
