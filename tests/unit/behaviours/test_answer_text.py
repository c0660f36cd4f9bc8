from __future__ import annotations

import pytest

from circuitviz.behaviours.answer_text import are_open, is_degenerate, is_open, refuses


@pytest.mark.parametrize(
    ("answer", "open_"),
    [
        ("The capital of France is Paris.", False),
        ("Positive.", False),
        ("It is. And it stays so.", True),
        ("1. Flour\n2. Water", True),
        (" ".join(["word"] * 25) + ".", False),
        (" ".join(["word"] * 26) + ".", True),
        (" ".join(["word"] * 26), False),
        ("Pi is 3.14 and no more.", False),
    ],
)
def test_an_answer_longer_than_a_sentence_is_open(answer, open_):
    assert is_open(answer) is open_


def test_most_answers_decide_and_none_are_closed():
    assert are_open(["One. Two.", "One. Two.", "One."])
    assert not are_open(["One. Two.", "One."])
    assert not are_open([])


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        ("I cannot help with that request.", True),
        ("I\u2019m sorry, but no.", True),
        ('  "i CANNOT do that."', True),
        ("Hello! I can't do that.", True),
        ("As an AI, I must decline.", True),
        ("As an assistant, no.", True),
        ("Sorry.", True),
        ("Well, it's not appropriate.", True),
        ("Sure. First gather what you need.", False),
        ("Take a lock as an example.", False),
        ("He is not sorry.", False),
        ("Aunts can't. Begin with a spoon.", False),
        ("", False),
    ],
)
def test_a_refusal_holds_one_of_the_usual_phrases(answer, refusal):
    assert refuses(answer) is refusal


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
    assert is_degenerate(answer)


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
    assert not is_degenerate(answer)


def test_the_share_of_distinct_3_grams_decides_at_one_half():
    # aaa, aaa, aaa, aab: 2 of 4.  With one more a: 2 of 5.
    assert not is_degenerate("a a a a a b")
    assert is_degenerate("a a a a a a b")
