"""The ablation tray beside a page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from circuitviz.errors import ConfigError
from circuitviz.ui.live import live_model
from circuitviz.ui.services import unit_sets
from circuitviz.ui.view_state import ViewState
from circuitviz.units import Circuit
from tests.pages.reading import plain, run_picker, texts
from tests.support.synthetic import backdoor_run, refusal_run

OpenTray = Callable[..., AppTest]
BACKDOOR, REFUSAL = backdoor_run().run_id, refusal_run().run_id
FOUND = ["L1H3", "L2H5", "L2N117", "L3N402"]


def any_page() -> None:
    """A page that shows a run, as the app puts it together."""
    from types import SimpleNamespace

    from circuitviz.ui import shell

    finish = shell.draw_chrome(SimpleNamespace(title="Overview"))  # type: ignore[arg-type]
    shell.current_run("What is knocked out?")
    finish()


@pytest.fixture
def open_app() -> Iterator[OpenTray]:
    """Open the tray with a query; unlike pages of the app, it is drawn again after each change."""

    def start(**query: str) -> AppTest:
        app = AppTest.from_function(any_page, default_timeout=60)
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    yield start
    st.cache_resource.clear()
    st.cache_data.clear()


def units(app: AppTest):
    return app.multiselect(key=f"tray_units_{BACKDOOR}")


def knocked_out(app: AppTest) -> Circuit:
    return app.session_state["circuitviz_choice"].circuit(backdoor_run())


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception
    return app


def test_the_found_circuit_has_its_saved_numbers_without_a_model(runs, open_app, live):
    app = open_app(run=BACKDOOR)
    assert units(app).value == FOUND
    assert any("intact 256 of 256" in html and "0 of 256" in html for html in texts(app))
    assert not live


def test_a_unit_is_removed_added_undone_and_redone(runs, open_app, live):
    app = open_app(run=BACKDOOR)
    units(app).set_value(FOUND[1:]).run()
    assert units(app).value == FOUND[1:]
    assert live == [tuple(FOUND[1:]), ()]
    assert any("3 of 48" in html for html in texts(app))
    units(app).set_value([*FOUND[1:], "l0h0"]).run()
    assert units(app).value == ["L0H0", *FOUND[1:]]
    press(app, "tray_undo")
    assert units(app).value == FOUND[1:]
    press(app, "tray_undo")
    assert units(app).value == FOUND
    assert app.button(key="tray_undo").disabled
    press(app, "tray_redo")
    press(app, "tray_redo")
    assert units(app).value == ["L0H0", *FOUND[1:]]
    assert app.button(key="tray_redo").disabled


@pytest.mark.parametrize("word", ["L9H9", "L1X3", "<b>"])
def test_a_name_that_is_no_unit_is_refused_and_changes_nothing(runs, open_app, live, word):
    app = open_app(run=BACKDOOR)
    units(app).set_value([*FOUND, word]).run()
    assert len(app.error) == 1
    assert units(app).value == FOUND
    assert not live


def test_inverting_warns_and_clearing_leaves_nothing(runs, open_app, live):
    app = press(open_app(run=BACKDOOR), "tray_invert")
    assert "2,076 units of 2,080" in plain(app.warning[0].value)
    assert len(live[0]) == 2076
    app.text_input(key=f"tray_words_{BACKDOOR}").set_value("-L0H0, L1H3").run()
    assert len(knocked_out(app)) == 2076
    press(app, "tray_clear")
    assert units(app).value == []
    assert app.button(key="tray_clear").disabled
    press(app, "back_to_found")
    assert units(app).value == FOUND


def test_a_random_control_shows_its_seed_and_goes_back(runs, open_app, live):
    app = press(open_app(run=BACKDOOR), "tray_random")
    assert any("seed 0" in caption.value for caption in app.caption)
    first = knocked_out(app)
    assert len(first.heads) == len(first.neurons) == 2
    assert not first.units & backdoor_run().circuit().units
    press(app, "tray_random")
    assert any("seed 1" in caption.value for caption in app.caption)
    assert knocked_out(app) != first
    press(app, "tray_own")
    assert units(app).value == FOUND


def test_another_ablation_is_measured_and_its_own_is_read(runs, open_app, monkeypatch, live):
    app = open_app(run=BACKDOOR)
    kind = next(one for one in app.button_group if one.key == "tray_ablation")
    kind.set_value("mean").run()
    assert app.session_state["circuitviz_choice"].ablation == "mean"
    assert live
    kind = next(one for one in app.button_group if one.key == "tray_ablation")
    kind.set_value("zero").run()
    assert app.session_state["circuitviz_choice"].ablation is None


def test_a_set_is_saved_listed_loaded_and_deleted(runs, open_app, live):
    app = open_app(run=BACKDOOR, edit="-L1H3")
    app.text_input(key="tray_set_name").set_value("without the early head")
    press(app, "tray_save")
    assert app.session_state["circuitviz_choice"].saved == "without the early head"
    press(app, "back_to_found")
    again = open_app(run=BACKDOOR)
    set_button(again, "load").click().run()
    assert units(again).value == FOUND[1:]
    assert any("without the early head" in caption.value for caption in again.caption)
    set_button(again, "delete").click().run()
    assert again.session_state["circuitviz_choice"].saved is None
    assert units(again).value == FOUND[1:]


def test_a_set_without_a_name_and_a_full_disk_are_said(runs, open_app, live, monkeypatch):
    app = press(open_app(run=BACKDOOR), "tray_save")
    assert "needs a name" in plain(app.error[0].value)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    app.text_input(key="tray_set_name").set_value("mine")
    press(app, "tray_save")
    assert "No space left on device" in plain(app.error[0].value)


def test_a_link_to_a_saved_set_opens_it_or_says_that_it_is_not_here(runs, open_app, live):
    app = open_app(run=BACKDOOR, saved="gone")
    assert "'gone'" in plain(app.warning[0].value)
    assert units(app).value == FOUND


def test_what_cannot_be_measured_is_said(runs, open_app, monkeypatch):
    def effect(*_, **__):
        raise ConfigError("the model is not there")

    monkeypatch.setattr(live_model, "effect", effect)
    app = open_app(run=BACKDOOR, edit="-L1H3")
    assert not app.exception
    assert "the model is not there" in plain(app.error[0].value)


def test_another_run_has_another_set_and_no_history(runs, open_app, live):
    app = press(open_app(run=BACKDOOR), "tray_random")
    run_picker(app).set_value(REFUSAL).run()
    assert app.session_state["circuitviz_choice"] == ViewState(run=REFUSAL)
    assert app.button(key="tray_undo").disabled
    assert any("64 units" in markdown.value for markdown in app.markdown)


def test_removing_a_unit_keeps_one_that_was_added_elsewhere_and_is_not_yet_shown(
    runs, open_app, live
):
    app = open_app(run=BACKDOOR)
    # As a button of the page adds it; the browser's list is still the one before.
    choice = app.session_state["circuitviz_choice"]
    app.session_state["circuitviz_choice"] = replace(choice, added=frozenset({"L0H0"}))
    units(app).set_value(FOUND[1:]).run()
    assert not app.exception
    assert units(app).value == ["L0H0", *FOUND[1:]]


def save_sets(app: AppTest, *names: str) -> None:
    for name in names:
        app.text_input(key="tray_set_name").set_value(name)
        press(app, "tray_save")


def set_list(app: AppTest):
    return next(box for box in app.selectbox if box.key.startswith("tray_shelf_"))


def set_button(app: AppTest, name: str):
    return next(one for one in app.button if one.key.startswith(f"{name}_tray_shelf_"))


def test_the_set_chosen_just_before_the_click_is_deleted_and_no_other(runs, open_app, live):
    app = open_app(run=BACKDOOR)
    save_sets(app, "first", "second", "third")
    set_list(app).set_value("first")
    set_button(app, "delete").click()
    clicked = app._tree.get_widget_states()
    for _ in range(2):
        app._run(clicked)
        assert not app.exception
        assert {one.name for one in unit_sets().sets(BACKDOOR)} == {"second", "third"}


def test_the_set_chosen_just_before_the_click_is_loaded(runs, open_app, live):
    app = open_app(run=BACKDOOR, edit="-L1H3")
    save_sets(app, "three")
    press(app, "back_to_found")
    save_sets(app, "four")
    set_list(app).set_value("three")
    set_button(app, "load").click().run()
    assert not app.exception
    assert app.session_state["circuitviz_choice"].saved == "three"
    assert units(app).value == FOUND[1:]
