"""Keys of lists, and callbacks that act on changes alone."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from circuitviz.ui.elements.keys import listing_key


def test_a_key_stays_while_the_list_shows_the_same():
    assert listing_key("runs", ["a", "b"]) == listing_key("runs", ["a", "b"])


def test_a_key_changes_with_names_order_and_number():
    lists = (["a", "b"], ["b", "a"], ["a", "c"], ["a"], ["ab"], [])
    assert len({listing_key("runs", labels) for labels in lists}) == len(lists)
    assert listing_key("runs", []) != listing_key("methods", [])


def page() -> None:
    import streamlit as st

    from circuitviz.ui.elements.keys import when_changed

    for name in ("taken", "reported"):
        st.session_state.setdefault(name, [])
    # Another list stands in this one's place after a click on the button.
    key = f"list_{st.session_state.setdefault('number', 0)}"
    st.session_state.setdefault(key, "a")
    take = when_changed(key, st.session_state.taken.append)

    def report() -> None:
        st.session_state.reported.append(st.session_state[key])
        take()

    st.selectbox("list", ["a", "b", "c"], key=key, on_change=report)
    st.button("another list", on_click=lambda: st.session_state.update(number=1))


@pytest.fixture
def app() -> AppTest:
    return AppTest.from_function(page).run()


def test_what_a_user_changes_is_taken_each_time(app):
    for value in ("b", "c", "b", "a"):
        app.selectbox[0].select(value).run()
    assert app.session_state.taken == ["b", "c", "b", "a"]


@pytest.mark.parametrize("chosen", [None, "b"])
def test_a_list_that_is_gone_chooses_nothing(app, chosen):
    if chosen is not None:
        app.selectbox[0].select(chosen).run()
    seen = app._tree.get_widget_states()
    app.button[0].click().run()
    taken, reported = list(app.session_state.taken), len(app.session_state.reported)
    # A click by somebody whose browser still shows the first list.
    app._run(seen)
    assert len(app.session_state.reported) == reported + 1
    assert app.session_state.taken == taken
