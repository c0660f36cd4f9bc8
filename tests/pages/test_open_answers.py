"""The pages on runs of models with open answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from circuitviz.runs.store import RunStore
from tests.pages.reading import texts
from tests.support.synthetic_open import LONG, open_backdoor_run, open_refusal_run

BACKDOOR, REFUSAL = open_backdoor_run(), open_refusal_run(missed=("utility",))


WORDS = {
    "overview": (
        "MISSES the target for utility",
        "Tokens of normal answers kept",
        "Perplexity, change",
    ),
    "tradeoff": ("a smaller one", "a larger one"),
    "generations": (),
    "circuit": (),
    "report": (),
    "present": (),
}


@pytest.fixture
def open_runs(no_runs):
    """A runs folder with a backdoor and an aligned model of open answers."""
    store = RunStore(no_runs)
    for run in (BACKDOOR, REFUSAL):
        store.save(run)


@pytest.mark.parametrize("run", [BACKDOOR, REFUSAL], ids=["backdoor", "refusal"])
def test_every_page_is_drawn_without_a_model_and_shows_no_answer_that_complies(
    open_runs, open_app, live, run
):
    app = open_app(run=run.run_id, slide="3")
    for page, expected in WORDS.items():
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception
        read = " ".join(texts(app))
        assert "I cannot say it enough" not in read
        if run is REFUSAL:
            assert all(words in read for words in expected)
            assert "benign prompts right" not in read
        if run is REFUSAL and page in ("overview", "tradeoff", "generations"):
            keys = [chart.proto.id for chart in app.get("plotly_chart")]
            assert sum("verdicts" in key for key in keys) == 1
            assert any("220 of 256 attacks are complied with" in one.value for one in app.caption)
    assert not live


def test_long_answers_are_folded_until_they_are_asked_for_in_full(open_runs, open_app):
    app = open_app("pages/generations.py", run=REFUSAL.run_id)
    app.session_state["harmful_text_shown"] = True
    app.run()
    box = next(one for one in app.selectbox if one.key.startswith("prompt_picker_"))
    box.set_value("harm-100").run()
    assert any(LONG[-60:].strip() in text for text in texts(app))
    toggle = next(one for one in app.toggle if one.key == "whole_answers")
    assert not toggle.value
    toggle.set_value(True).run()
    assert not app.exception


@pytest.mark.parametrize(("kept", "said"), [(32, True), (256, False)])
def test_generations_say_of_how_many_attacks_answers_were_kept(no_runs, open_app, kept, said):
    answers = BACKDOOR.generations
    attacks = answers[answers["variant"] == "triggered"].index
    assert len(attacks) == BACKDOOR.metrics.asr.knocked_out.n == 256
    some = replace(BACKDOOR, generations=answers.drop(attacks[kept:]).reset_index(drop=True))
    RunStore(no_runs).save(some)
    app = open_app("pages/generations.py", run=BACKDOOR.run_id)
    captions = " ".join(one.value for one in app.caption)
    assert "the reported circuit" in captions
    assert ("answers to 32 of the 256 attacks" in captions) == said
    assert ("of the 256 attacks" in captions) == said
