"""What users and links say stands on the page as it is, never as markup."""

import pytest
from streamlit.testing.v1 import AppTest

from circuitviz.ui.elements.words import literal

IMAGE = "![x](https://example.org/x.png)"
SHOWN = literal(IMAGE)


@pytest.mark.parametrize("name", ["warn", "error"])
def test_an_image_in_a_message_stays_text(name):
    def page(name, text):
        from circuitviz.ui.elements import components

        components.warn([text]) if name == "warn" else components.error(text)

    app = AppTest.from_function(page, args=(name, IMAGE)).run()
    [message] = app.warning if name == "warn" else app.error
    assert message.value == SHOWN != IMAGE


def test_an_image_as_the_name_of_a_set_stays_text_in_the_tray():
    def page(name):
        from circuitviz.ui.tray import tray
        from circuitviz.ui.view_state import ViewState
        from tests.synthetic import backdoor_run

        run = backdoor_run()
        choice = ViewState(listed=frozenset({"L1H3"}), saved=name)
        tray._title(run, choice, choice.circuit(run))

    app = AppTest.from_function(page, args=(IMAGE,)).run()
    [caption] = app.caption
    assert SHOWN in caption.value
