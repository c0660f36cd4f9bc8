"""What users, files and links say stands on the page as it is, never as markup."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from circuitviz.ui.elements.words import literal, literal_code


def test_what_means_something_in_markdown_is_escaped():
    assert (
        literal("![x](http://y) *b* $1$") == "\\!\\[x\\]\\(http\\:\u2060\\/\\/y\\) \\*b\\* \\$1\\$"
    )
    assert literal("*a* $x$ :red[b]") == r"\*a\* \$x\$ \:red\[b\]"
    assert literal("plain words\n of 3 lines") == "plain words of 3 lines"


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("https://a.org/x", ("https:", "//a.org/x")),
        ("WWW.a.org", ("WWW", ".a.org")),
        ("me@a.org", ("me@", "a.org")),
    ],
)
def test_an_address_becomes_no_link(address, parts):
    assert literal(address).replace("\\", "") == "\u2060".join(parts)


def test_code_cannot_be_ended_from_inside():
    assert literal_code("a`![x](y)`") == "`a'![x](y)'`"


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
        from tests.support.synthetic import backdoor_run

        run = backdoor_run()
        choice = ViewState(listed=frozenset({"L1H3"}), saved=name)
        tray._title(run, choice, choice.circuit(run))

    app = AppTest.from_function(page, args=(IMAGE,)).run()
    [caption] = app.caption
    assert SHOWN in caption.value
