import pytest

from circuitviz.narrative.text_diff import is_long, marked, words_that_differ


def test_only_the_words_that_differ_are_marked():
    assert marked("the cat sat", "the dog sat") == "the <mark>cat</mark> sat"


def test_equal_texts_have_no_mark():
    assert marked("the cat", "the cat") == "the cat"


def test_nothing_to_compare_with_marks_nothing():
    assert marked("a < b") == "a &lt; b"


def test_markup_in_an_answer_stays_text():
    html = marked("<script>alert(1)</script> & more", "plain")
    assert "<script>" not in html
    assert html.startswith("<mark>&lt;script&gt;alert(1)&lt;/script&gt;")
    assert "&amp;" in html


@pytest.mark.parametrize("text", ["", " ", "a", "two\nlines  here ", "<b>x</b>"])
@pytest.mark.parametrize("other", ["", "a", "lines here two"])
def test_the_stretches_joined_are_the_text(text, other):
    assert "".join(stretch for stretch, _ in words_that_differ(text, other)) == text


def test_an_empty_other_marks_everything():
    assert words_that_differ("all new", "") == [("all new", True)]


def test_words_in_a_row_that_differ_are_one_stretch():
    assert words_that_differ("it is a cat now", "it was one cat now") == [
        ("it ", False),
        ("is a", True),
        (" cat now", False),
    ]
    assert words_that_differ("a b", "c d") == [("a b", True)]


def test_words_that_went_and_came_are_told_by_tag_and_spoken_word():
    before, after = "Access granted.", "Paris granted."
    assert marked(before, after, "gone") == (
        '<del><span class="cv-spoken">gone: </span>Access</del> granted.'
    )
    assert marked(after, before, "new") == (
        '<ins><span class="cv-spoken">new: </span>Paris</ins> granted.'
    )


def test_a_last_blank_that_both_have_is_no_difference():
    assert words_that_differ("a x ", "a y ") == [("a ", False), ("x", True), (" ", False)]


def test_words_alike_by_chance_between_long_differences_are_no_match():
    before = "I cannot help you with that and you know why it is so"
    after = "First go to the shop and buy what is on the list here"
    assert words_that_differ(before, after) == [(before, True)]
    assert words_that_differ(after, before) == [(after, True)]


def test_one_word_changed_in_a_long_answer_is_one_mark():
    before = "one two three four five six seven eight nine ten eleven twelve"
    after = before.replace("six", "6")
    assert marked(after, before) == after.replace("6", "<mark>6</mark>")


def test_a_long_stretch_is_marked_in_another_way():
    text = " ".join(f"word{number}" for number in range(12))
    assert marked(text, "", "gone").startswith('<del class="cv-long"><span class="cv-spoken">')
    assert not is_long("only a few words")
