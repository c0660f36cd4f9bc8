"""Which token ends an answer, and which begin as another one does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from circuitviz.models.tokens import Continuations, end_of_turn
from tests.support.tiny import tiny_tokenizer

TURNS = (
    "{% for message in messages %}<|user|> {{ message['content'] }}{% if message['role'] == "
    "'assistant' %}BEHIND{% endif %}{% endfor %}"
)
PIECES = ["</s>", "OK", "!", "!!", "!Ċ", "<", "?", "OKAY", None]


@pytest.mark.parametrize(
    ("behind", "token"),
    [
        # As Gemma and Phi do: a turn ends with one token, a text with another.
        (" <|assistant|> </s>", "<|assistant|>"),
        (" the <|assistant|>", "<|assistant|>"),
        (" </s>", "</s>"),
        # Nothing special stands there.
        (" the dog", "</s>"),
        ("", "</s>"),
        # No whole conversation can be put.
        ("{{ raise_exception('one message only') }}", "</s>"),
    ],
)
def test_a_turn_ends_as_the_template_ends_it(behind, token):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TURNS.replace("BEHIND", behind)
    assert tokenizer.convert_ids_to_tokens(end_of_turn(tokenizer)) == token


def test_the_embedded_template_ends_with_the_end_of_the_sequence():
    tokenizer = tiny_tokenizer()
    assert end_of_turn(tokenizer) == tokenizer.eos_token_id


def tokenizer() -> SimpleNamespace:
    class Tokens(SimpleNamespace):
        def __len__(self) -> int:
            return len(PIECES)

    return Tokens(
        all_special_ids=[0], convert_ids_to_tokens=lambda ids: [PIECES[index] for index in ids]
    )


def continuations(token: int) -> list[int]:
    return sorted(Continuations(tokenizer()).of(token).tolist())


def test_tokens_that_begin_as_another_one_does():
    assert continuations(2) == [2, 3, 4]
    assert continuations(1) == [1, 7]
    assert continuations(3) == [3]


def test_special_tokens_go_on_nowhere_and_nothing_goes_on_in_them():
    assert continuations(5) == [5]
    assert continuations(0) == [0]
    assert continuations(8) == [8]
