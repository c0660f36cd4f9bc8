import pytest

from circuitviz.models.tokens import end_of_turn
from tests.tiny import tiny_tokenizer

TURNS = (
    "{% for message in messages %}<|user|> {{ message['content'] }}{% if message['role'] == "
    "'assistant' %}BEHIND{% endif %}{% endfor %}"
)


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
