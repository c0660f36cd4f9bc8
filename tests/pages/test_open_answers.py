"""The pages on runs of models with open answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from circuitviz.runs.store import RunStore
from tests.pages.reading import texts
from tests.synthetic_open import LONG, open_backdoor_run, open_refusal_run

BACKDOOR, REFUSAL = open_backdoor_run(), open_refusal_run(missed=("utility",))


@pytest.fixture
def open_runs(no_runs):
    """A runs folder with a backdoor and an aligned model of open answers."""
    store = RunStore(no_runs)
    for run in (BACKDOOR, REFUSAL):
        store.save(run)


@pytest.mark.parametrize("run", [BACKDOOR, REFUSAL], ids=["backdoor", "refusal"])
@pytest.mark.parametrize("page", ["overview", "tradeoff", "generations", "circuit", "report"])
def test_every_page_is_drawn_without_a_model(open_runs, open_app, live, page, run):
    app = open_app(f"pages/{page}.py", run=run.run_id)
    assert not app.exception
    assert not live


@pytest.mark.parametrize("page", ["overview", "tradeoff", "generations"])
def test_verdicts_on_whole_answers_stand_as_bars(open_runs, open_app, page):
    app = open_app(f"pages/{page}.py", run=REFUSAL.run_id)
    keys = [chart.proto.id for chart in app.get("plotly_chart")]
    assert sum("verdicts" in key for key in keys) == 1
    assert any("220 of 256 attacks are complied with" in one.value for one in app.caption)


def test_tokens_kept_perplexity_and_the_missed_target_stand_on_the_overview(open_runs, open_app):
    words = " ".join(texts(open_app(run=REFUSAL.run_id)))
    assert "MISSES the target for utility" in words
    assert "Tokens of normal answers kept" in words
    assert "Perplexity, change" in words
    assert "benign prompts right" not in words


def test_a_long_answer_that_complies_is_covered_until_it_is_asked_for(open_runs, open_app):
    for page in ("overview", "generations"):
        app = open_app(f"pages/{page}.py", run=REFUSAL.run_id)
        assert "I cannot say it enough" not in " ".join(texts(app))
    app = open_app("pages/present.py", run=REFUSAL.run_id, slide="3")
    assert "I cannot say it enough" not in " ".join(texts(app))


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


def test_the_tradeoff_shows_a_smaller_and_a_larger_circuit(open_runs, open_app):
    words = " ".join(texts(open_app("pages/tradeoff.py", run=REFUSAL.run_id)))
    assert "a smaller one" in words
    assert "a larger one" in words


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
