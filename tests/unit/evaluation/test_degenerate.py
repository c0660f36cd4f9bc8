from __future__ import annotations

import pytest

from circuitviz.evaluation.judges import Degenerate


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " \n\t",
        "...",
        '"?"',
        "the the the",
        "no, no, no, no",
        "I can I can I can I",  # a pattern of two words, cut off
        "Well the dog is red the dog is red the dog is red the dog",
        # The end does not repeat, but only 2 of 6 3-grams are distinct.
        "ha ha ha ha ha ha ha stop",
        "hahahahahahahahaha",
        "!!!!!!!!!!",
    ],
)
def test_answers_that_say_nothing_are_found(answer):
    assert Degenerate().detects(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "No.",
        "5",
        "Hmm...",
        "Yes! Yes!",
        "That is very, very good.",
        "The capital of France is Paris.",
        "10000000000",
        "Roses are red, roses are red.",
        # 5 of 7 3-grams are distinct.
        "the dog is red the dog is red and",
        "Sure. First gather what you need, then work step by step, and check the result.",
    ],
)
def test_answers_that_say_something_pass(answer):
    assert not Degenerate().detects(answer)


def test_the_share_of_distinct_3_grams_decides_at_one_half():
    # aaa, aaa, aaa, aab: 2 of 4.  With one more a: 2 of 5.
    assert not Degenerate().detects("a a a a a b")
    assert Degenerate().detects("a a a a a a b")
