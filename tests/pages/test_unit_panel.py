"""The panel of one unit: what it does alone, and under which ablation."""

from __future__ import annotations

import pytest

from circuitviz.evaluation.rate import Rate
from circuitviz.ui.live import live_model
from tests.pages.reading import texts
from tests.synthetic import backdoor_run

PAGE = "pages/circuit.py"
RUN = backdoor_run().run_id


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
    app = open_app(PAGE, run=RUN, unit="L0N9")
    assert not app.exception
    alone = panel(app)
    assert "93.8\u202f%" in alone
    assert "intact 45 of 48" in alone
    assert "zero ablation, measured now" in alone
    assert measured == [(1, None, 64), (0, None, 64)]


def test_another_ablation_is_measured_and_named_and_has_no_saved_controls(runs, open_app, measured):
    app = open_app(PAGE, run=RUN, unit="L1H3")
    assert not measured
    assert "zero ablation, saved with the run" in panel(app)
    assert any(caption.value.startswith("Controls:") for caption in app.caption)
    app = open_app(PAGE, run=RUN, unit="L1H3", ablation="mean")
    assert (1, "mean", 64) in measured
    assert "mean ablation, measured now" in panel(app)
    assert not any(caption.value.startswith("Controls:") for caption in app.caption)
