from __future__ import annotations

import pytest

from circuitviz.evaluation.judges import are_open, is_open


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
