from circuitviz.ui.literal import literal, literal_code


def test_what_means_something_in_markdown_is_escaped():
    assert literal("![x](http://y) *b* $1$") == r"\!\[x\]\(http\:\/\/y\) \*b\* \$1\$"
    assert literal("*a* $x$ :red[b]") == r"\*a\* \$x\$ \:red\[b\]"
    assert literal("plain words\n of 3 lines") == "plain words of 3 lines"


def test_code_cannot_be_ended_from_inside():
    assert literal_code("a`![x](y)`") == "`a'![x](y)'`"
