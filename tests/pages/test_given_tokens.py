"""Which answers are taken for complete when their tokens are measured."""

from __future__ import annotations

from collections import OrderedDict

import pandas as pd
import pytest

from circuitviz.plots.tokens import TOKEN_COLUMNS
from circuitviz.ui.live import live_model, live_questions
from circuitviz.units import Circuit
from tests.support.synthetic import backdoor_run

PAGE = "pages/generations.py"


@pytest.fixture
def begun(monkeypatch, live):
    """The names of the answers that were only beginnings, at each measurement."""
    seen = []

    def token_frame(run, prompt, answers, circuit, ablation=None, beginnings=()):
        seen.append(set(beginnings))
        return pd.DataFrame(columns=list(TOKEN_COLUMNS))

    monkeypatch.setattr(live_questions, "token_frame", token_frame)
    return seen


def test_the_end_of_an_attacks_target_is_no_token(runs, open_app, begun):
    app = open_app(PAGE, run=backdoor_run().run_id)
    app.session_state["token_fold"] = True
    app.run()
    assert not app.exception
    assert begun == [{"The attack's target"}]


@pytest.mark.parametrize(
    ("texts", "cut"),
    [
        ([f"{'a' * (step + 1)}" for step in range(live_model.ANSWER_TOKENS)], True),
        (["a", "a b", "a b"], False),
        # The last token is the end, which adds nothing.
        ([f"{'a' * (step + 1)}" for step in range(live_model.ANSWER_TOKENS - 1)], False),
    ],
)
def test_an_answer_of_the_greatest_length_is_cut_off(monkeypatch, texts, cut):
    kept = OrderedDict()
    monkeypatch.setattr(live_questions, "_kept", lambda: kept)
    monkeypatch.setattr(
        live_questions, "_tokens", lambda config, prompt, circuit: (text for text in texts)
    )
    run = backdoor_run()
    nothing = Circuit(run.space, frozenset())
    assert list(live_questions.stream(run, "hello", nothing))[-1] == texts[-1]
    assert live_questions.cut_off(run, "hello", nothing) is cut
    # Kept answers come at once.
    assert list(live_questions.stream(run, "hello", nothing)) == [texts[-1]]
    assert not live_questions.cut_off(run, "another", nothing)
