"""Of an answer longer than generation goes, what is generated is what counts."""

from __future__ import annotations

import torch

from circuitviz.models.answer import encode_answers, greedy_answers

MESSAGE = "what is word1"


def test_of_a_long_answer_the_first_tokens_count_and_its_end_does_not(tiny_model):
    tokens = tiny_model.answer_tokens("word1 word2 word3", complete=False)
    end = tiny_model.tokenizer.eos_token_id
    assert tiny_model.answer_tokens("word1 word2 word3") == [*tokens, end]
    assert tiny_model.answer_tokens("word1 word2 word3", longest=len(tokens) + 1) == [*tokens, end]
    assert tiny_model.answer_tokens("word1 word2 word3", longest=len(tokens)) == tokens
    assert tiny_model.answer_tokens("word1 word2 word3", longest=2) == tokens[:2]


def test_an_answer_is_cut_as_generation_cuts_it(tiny_model):
    whole = tiny_model.generate([MESSAGE], max_new_tokens=8)[0]
    first = tiny_model.generate([MESSAGE], max_new_tokens=3)[0]
    assert tiny_model.cut(whole, 3) == first
    assert tiny_model.cut(first, 3) == first


def test_a_guess_longer_than_generation_goes_is_the_answer_if_it_begins_like_it(tiny_model):
    whole = tiny_model.generate([MESSAGE], max_new_tokens=8)[0]
    first = tiny_model.generate([MESSAGE], max_new_tokens=3)[0]
    assert greedy_answers(tiny_model, [MESSAGE], [[whole]], max_new_tokens=3) == [first]


def test_rows_take_what_counts_of_every_answer(tiny_model):
    answers = ["word1", "word1 word2 word3 word4"]
    rows = encode_answers(tiny_model, [MESSAGE, MESSAGE], answers, longest=3)
    lengths = [len(tiny_model.answer_tokens(answer, longest=3)) for answer in answers]
    torch.testing.assert_close(rows.predicts.sum(1), torch.tensor(lengths))
