import pytest

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
