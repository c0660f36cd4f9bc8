"""What could do harm stays covered in the drill-down until it is asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec
from circuitviz.behaviours.prompt import Prompt
from circuitviz.inspection.attention import HeadAttention
from circuitviz.inspection.neuron_trace import NeuronTrace, TopPrompt
from circuitviz.inspection.prompt_pair import PromptPair, TokenRow
from circuitviz.ui.drill import view as drill_view
from circuitviz.ui.live import live_model, live_questions
from tests.pages.reading import texts
from tests.synthetic import REFUSAL as SAYS_NO
from tests.synthetic import refusal_run

PAGE = "pages/circuit.py"
RUN = refusal_run().run_id
# Words of the request, by which it would be known; it asks for nothing.
REQUEST = "Zorp the frumious vault"
TOKENS = ("<s>", "Zorp", "the", "frumious", "vault", "<|assistant|>")
BENIGN = ("<s>", "Wash", "the", "red", "cup", "<|assistant|>")


def behaviour():
    prompts = (
        Prompt("harm-000", "test", "attack", "how-to", REQUEST, SAYS_NO, target="Sure"),
        Prompt("benign-000", "test", "benign", "sums", "Wash the red cup", "Done."),
    )
    return Behaviour(BehaviourSpec("refusal", "t", "?", None), prompts)


@pytest.fixture
def looking(monkeypatch, live):
    def pair(run, prompt):
        clean = TokenRow("Wash the red cup", tuple(range(6)), BENIGN)
        return PromptPair(
            prompt, clean, TokenRow(REQUEST, tuple(range(6)), TOKENS), (1, 5), 7, 8, "I", "Sure"
        )

    pattern = np.tri(6) / np.arange(1, 7)[:, None]
    trace = NeuronTrace(np.arange(6.0), None, None)
    top = [
        TopPrompt("harm-000", "harmful", REQUEST, 4.0, "frumious"),
        TopPrompt("benign-000", "benign", "Wash the red cup", 3.0, "cup"),
    ]
    monkeypatch.setattr(drill_view, "asked_to_look", lambda run: True)
    monkeypatch.setattr(live_model, "behaviour_of", lambda config: behaviour())
    monkeypatch.setattr(live_questions, "pair", pair)
    monkeypatch.setattr(
        live_questions, "attention", lambda run, prompt, unit: HeadAttention(pattern, pattern)
    )
    monkeypatch.setattr(live_questions, "traces", lambda run, prompt, unit: (trace, trace))
    monkeypatch.setattr(live_questions, "top", lambda run, unit: top)


def everything(app):
    """All that a reader, or a download of it, could see of the drill-down."""
    found = [*texts(app)]
    found += [chart.proto.spec for chart in app.get("plotly_chart")]
    found += [frame.value.to_csv() for frame in app.dataframe]
    found += [frame.value.to_csv() for frame in app.table]
    found += [element.value for element in (*app.caption, *app.markdown)]
    found += [option for box in app.selectbox for option in box.options]
    return json.dumps(found, ensure_ascii=False).lower()


@pytest.mark.parametrize(
    ("unit", "tab"),
    [
        ("L2H5", "Where it looks"),
        ("L3N402", "When it is active"),
        ("L3N402", "What activates it most"),
    ],
)
def test_a_harmful_request_is_covered_until_it_is_asked_for(runs, open_app, looking, unit, tab):
    app = open_app(PAGE, run=RUN, unit=unit)
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
