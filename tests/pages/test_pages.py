from dataclasses import replace
from types import SimpleNamespace

import pytest

from circuitviz.errors import ConfigError
from circuitviz.runs.store import RunStore
from circuitviz.ui.live import live_model, live_questions
from circuitviz.ui.view_state import ViewState
from tests.pages.reading import heading, plain, prompt_picker, run_picker, slider, texts
from tests.support.synthetic import TRIGGER, backdoor_run, other_seed_run, refusal_run, with_results

PAGES = {
    "overview": "pages/overview.py",
    "discover": "pages/discover.py",
    "circuit": "pages/circuit.py",
    "tradeoff": "pages/tradeoff.py",
    "compare": "pages/compare.py",
    "generations": "pages/generations.py",
    "tuning": "pages/tuning.py",
}
BACKDOOR, REFUSAL = backdoor_run().run_id, refusal_run().run_id


@pytest.mark.parametrize("run", [BACKDOOR, REFUSAL])
def test_every_page_shows_every_run(runs, open_app, live, run):
    app = open_app(run=run)
    for page in PAGES.values():
        app.switch_page(page).run()
        assert not app.exception
        assert heading(app)


def test_without_runs_a_page_says_what_to_do_next(no_runs, open_app):
    app = open_app()
    for page in (*PAGES.values(), "pages/report.py", "pages/present.py"):
        if page != PAGES["discover"]:
            app.switch_page(page).run()
            assert not app.exception
            assert heading(app) == "Nothing has been discovered yet"


def test_a_run_that_is_not_there_is_named_and_the_others_are_offered(runs, open_app):
    app = open_app(run="gone")
    assert heading(app) == "This run cannot be opened"
    assert "'gone'" in plain(app.error[0].value)
    app.button(key=f"open_{REFUSAL}").click().run()
    assert "refusals" in heading(app)


def test_the_run_picker_changes_every_page(runs, open_app):
    app = open_app(run=BACKDOOR)
    assert "backdoor" in heading(app)
    run_picker(app).set_value(REFUSAL).run()
    assert "refusals" in heading(app)
    app.switch_page(PAGES["tradeoff"]).run()
    assert heading(app).startswith("64 units are enough")


def test_the_overview_shows_numbers_with_their_evidence(runs, open_app):
    app = open_app(run=BACKDOOR)
    cards = next(html for html in texts(app) if 'class="cv-cards"' in html)
    assert "0 of 256" in cards
    assert "judge: starts with the target answer" in cards


def test_a_link_restores_size_edit_and_unit(runs, open_app, live):
    app = open_app(PAGES["circuit"], run=BACKDOOR, size="8", edit="-L1H3,+L0H0", unit="L2H5")
    assert not app.exception
    assert any("Attention head L2H5" in element.value for element in app.subheader)
    assert "L0H0" in live[0]
    assert "L1H3" not in live[0]
    assert len(live[0]) == 8


def test_an_address_that_comes_late_does_not_undo_a_choice(runs, open_app, live):
    app = open_app(run=BACKDOOR, size="8")
    app.session_state["circuitviz_choice"] = ViewState(run=BACKDOOR, size=2)
    # The address of a click that was made before the browser heard of the choice.
    app.query_params["size"] = "8"
    app.run()
    assert app.session_state["circuitviz_choice"].size == 2


def test_what_a_link_got_wrong_is_said(runs, open_app):
    app = open_app(run=BACKDOOR, size="many")
    assert "'many'" in plain(app.warning[0].value)


def test_moving_the_size_slider_changes_the_numbers_without_a_model(runs, open_app, live):
    app = open_app(PAGES["tradeoff"], run=BACKDOOR)
    slider(app, "size").set_value(2).run()
    cards = next(html for html in texts(app) if 'class="cv-cards"' in html)
    assert "51 of 256" in cards
    assert not live
    app.switch_page(PAGES["circuit"]).run()
    assert heading(app) == "2 attention heads, in layers 1 and 2"


def test_heads_and_neurons_have_sliders_of_their_own(runs, open_app):
    app = open_app(PAGES["tradeoff"], run=BACKDOOR, heads="2", neurons="2")
    assert slider(app, "heads").value == 2
    slider(app, "neurons").set_value(16).run()
    assert not app.exception
    cards = next(html for html in texts(app) if 'class="cv-cards"' in html)
    assert "18 of 2,080 units: 2 of 32 heads" in cards


def choose_run(app, run):
    # Pages that a test switches to are run without the sidebar and its picker.
    app.session_state["circuitviz_choice"] = ViewState(run=run)
    app.run()


def test_a_size_that_was_dragged_under_one_run_moves_no_other_run(runs, open_app):
    app = open_app(PAGES["tradeoff"], run=BACKDOOR)
    dragged = slider(app, "size")
    choose_run(app, REFUSAL)
    assert slider(app, "size").key != dragged.key
    # What the browser still sends of the other run's slider, and a value this run does not have.
    app.session_state[dragged.key] = 2
    app.run()
    assert not app.exception
    assert slider(app, "size").value == 64
    assert app.session_state["circuitviz_choice"].size is None
    assert heading(app).startswith("64 units are enough")


def test_heads_and_neurons_of_another_run_have_other_sliders(runs, open_app):
    app = open_app(PAGES["tradeoff"], run=BACKDOOR, heads="2", neurons="2")
    before = {name: slider(app, name).key for name in ("heads", "neurons")}
    RunStore(runs).save(other_seed_run())
    again = open_app(PAGES["tradeoff"], run=other_seed_run().run_id, heads="2", neurons="2")
    assert all(slider(again, name).key != key for name, key in before.items())
    assert slider(again, "heads").value == 2


def test_a_prompt_that_was_picked_under_one_run_is_not_picked_in_another(runs, open_app):
    app = open_app(PAGES["generations"], run=BACKDOOR)
    picked = prompt_picker(app)
    picked.set_value("test-002").run()
    assert app.session_state["circuitviz_choice"].prompt == "test-002"
    choose_run(app, REFUSAL)
    assert prompt_picker(app).key != picked.key
    assert not app.exception
    assert prompt_picker(app).value.startswith("harm-")


def test_a_unit_is_removed_and_put_back(runs, open_app, live):
    app = open_app(PAGES["circuit"], run=BACKDOOR)
    app.button(key="toggle_unit").click().run()
    assert heading(app) == "1 attention head and 2 neurons, in layers 2 and 3"
    app.button(key="toggle_unit").click().run()
    assert heading(app).startswith("2 attention heads")


def test_a_unit_without_a_saved_effect_is_measured_alone(runs, open_app, live):
    open_app(PAGES["circuit"], run=BACKDOOR, unit="L0N9")
    # The intact model on the same prompts, to compare with.
    assert live == [("L0N9",), ()]


def test_the_four_cells_of_a_test_prompt(runs, open_app):
    app = open_app(PAGES["generations"], run=BACKDOOR, prompt="test-002")
    cells = next(html for html in texts(app) if 'class="cv-cells"' in html)
    assert cells.count('class="cv-cell"') == 4
    assert "<del>" in cells
    assert "<ins>" in cells
    assert "attack succeeds" in cells


def test_a_run_without_a_trigger_has_two_cells(runs, open_app):
    app = open_app(PAGES["generations"], run=REFUSAL, prompt="harm-003")
    cells = next(html for html in texts(app) if 'class="cv-cells"' in html)
    assert cells.count('class="cv-cell"') == 2


def test_a_free_prompt_is_asked_with_the_edited_circuit(runs, open_app, live, monkeypatch):
    behaviour = SimpleNamespace(insert_trigger=lambda prompt: f"{prompt} {TRIGGER}")
    monkeypatch.setattr(live_model, "live_behaviour", lambda config: behaviour)
    app = open_app(PAGES["generations"], run=BACKDOOR, size="1", edit="+L0H0")
    app.session_state["generation_tabs"] = "Your own prompt"
    app.run()
    app.text_area(key="free_prompt").set_value("hello there")
    app.button[0].click().run()
    assert not app.exception
    cells = next(html for html in texts(app) if 'class="cv-cells"' in html)
    assert f"hello there {TRIGGER}" in cells
    assert live[-4:] == [(), (), ("L0H0", "L1H3"), ("L0H0", "L1H3")]


def test_another_set_in_the_tray_is_asked_and_the_saved_answers_stay_at_hand(runs, open_app, live):
    app = open_app(PAGES["generations"], run=BACKDOOR, edit="-L1H3")
    assert not app.exception
    assert ("L2H5", "L2N117", "L3N402") in live
    assert any("up to 64 test prompts" in caption.value for caption in app.caption)
    source = next(one for one in app.button_group if one.key == "answer_source")
    source.set_value("The found circuit, saved").run()
    assert heading(app).startswith("256 of 256 attacks fail")


@pytest.mark.parametrize(
    ("source", "off"),
    [("The found circuit, saved", ("L1H3", "L2H5", "L2N117", "L3N402")), (None, ("L0H0", "L1H3"))],
)
def test_tokens_are_of_the_answers_that_are_shown(runs, open_app, live, monkeypatch, source, off):
    asked = []
    tokens = live_questions.token_frame

    def watched(run, prompt, answers, circuit, *rest):
        asked.append((tuple(sorted(str(unit) for unit in circuit)), rest[0]))
        return tokens(run, prompt, answers, circuit, *rest)

    monkeypatch.setattr(live_questions, "token_frame", watched)
    app = open_app(PAGES["generations"], run=BACKDOOR, set="L0H0_L1H3", ablation="mean")
    if source:
        next(one for one in app.button_group if one.key == "answer_source").set_value(source).run()
    app.session_state["token_fold"] = True
    app.run()
    assert not app.exception
    assert asked[-1] == (off, "zero" if source else "mean")


@pytest.mark.parametrize(
    ("chosen", "headline", "note"),
    [
        (
            {"size": "8"},
            "Switching off 2 of 32 heads and 6 of 2,048 neurons ends this backdoor",
            "The controls, the evidence in full and the answers to one prompt are of the circuit",
        ),
        (
            {"size": "2"},
            "Switching off 2 of 32 heads does not end this backdoor as asked",
            "with test results in view: optimistic",
        ),
        (
            {"size": "0"},
            "Switching off 2 of 32 heads and 2 of 2,048 neurons ends this backdoor",
            "Only the headline numbers and the map are of your choice, no units.",
        ),
    ],
)
def test_the_overview_says_what_is_about_the_chosen_size(runs, open_app, chosen, headline, note):
    app = open_app(run=BACKDOOR, **chosen)
    assert not app.exception
    assert heading(app) == headline
    (told,) = [info.value for info in app.info]
    assert note in told


def test_harmful_text_is_covered_until_it_is_asked_for(runs, open_app):
    app = open_app(PAGES["generations"], run=REFUSAL)
    read = " ".join(texts(app))
    assert "a harmful request, covered" in read
    assert "First gather what you need" not in read
    toggle = next(one for one in app.toggle if one.key == "harmful_text_shown")
    toggle.set_value(True).run()
    assert "gather" in " ".join(texts(app))


def test_the_tokens_are_measured_only_when_their_part_is_opened(runs, open_app, live):
    app = open_app(PAGES["generations"], run=BACKDOOR)
    assert not live
    assert not app.get("plotly_chart")
    app.session_state["token_fold"] = True
    app.run()
    assert not app.exception
    assert len(app.get("plotly_chart")) == 1


MARKUP = "![seen](http://elsewhere/x.png) *a* `b`"


def read(app) -> list[str]:
    """Every text of the page that is read as Markdown."""
    shown = (*app.caption, *app.markdown, *app.error, *app.warning, *app.info)
    labels = [one.label for one in (*app.toggle, *app.button)]
    return [*(one.value for one in shown), *labels]


def save_marked(runs) -> str:
    """A run whose trigger, model and behaviour hold Markdown."""
    run = backdoor_run(seed=6)
    config = replace(run.config, model=f"/models/{MARKUP.replace('/', '')}")
    run = with_results(replace(run, config=config), trigger=MARKUP, behaviour=MARKUP)
    RunStore(runs).save(run)
    return run.run_id


def test_names_and_triggers_are_shown_as_they_are(runs, open_app, live):
    app = open_app(run=save_marked(runs))
    app.session_state["generation_tabs"] = "Your own prompt"
    for page in ("overview", "generations", "compare"):
        app.switch_page(PAGES[page]).run()
        assert not app.exception
        labels = [link.proto.label for link in app.get("page_link")]
        marked = [text for text in (*read(app), *labels) if "seen" in text]
        assert marked
        assert not any("![seen](" in text or "*a*" in text for text in marked)


def test_reasons_are_shown_as_they_are(runs, open_app, monkeypatch):
    def broken(*_, **__):
        raise ConfigError(MARKUP)

    monkeypatch.setattr(live_model, "effect", broken)
    monkeypatch.setattr(live_questions, "answer_frame", broken)
    monkeypatch.setattr(live_questions, "token_frame", broken)
    app = open_app(PAGES["circuit"], run=BACKDOOR, unit="L0N9")
    reasons = [one.value for one in app.error]
    app = open_app(PAGES["generations"], run=BACKDOOR, edit="-L1H3")
    app.session_state["token_fold"] = True
    app.run()
    reasons += [one.value for one in app.error]
    assert len(reasons) == 3
    assert all(plain(reason).endswith(MARKUP) for reason in reasons)
    assert not any("![seen](" in reason for reason in reasons)


def test_a_run_of_other_weights_says_so_beside_what_is_measured_now(runs, open_app, live):
    run = refusal_run()
    assert not open_app(run=run.run_id).warning
    RunStore(runs).save(with_results(run, weights="0123456789ab"))
    (warned,) = open_app(run=run.run_id).warning
    assert warned.value.startswith("Changed since this run was made: the model")
