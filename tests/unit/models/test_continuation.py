from types import SimpleNamespace

from circuitviz.models.tokens import Continuations

PIECES = ["</s>", "OK", "!", "!!", "!Ċ", "<", "?", "OKAY", None]


def tokenizer() -> SimpleNamespace:
    class Tokens(SimpleNamespace):
        def __len__(self) -> int:
            return len(PIECES)

    return Tokens(
        all_special_ids=[0], convert_ids_to_tokens=lambda ids: [PIECES[index] for index in ids]
    )


def found(token: int) -> list[int]:
    return sorted(Continuations(tokenizer()).of(token).tolist())


def test_tokens_that_begin_as_another_one_does():
    assert found(2) == [2, 3, 4]
    assert found(1) == [1, 7]
    assert found(3) == [3]


def test_special_tokens_go_on_nowhere_and_nothing_goes_on_in_them():
    assert found(5) == [5]
    assert found(0) == [0]
    assert found(8) == [8]
