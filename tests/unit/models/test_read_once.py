"""What all messages begin with is read once, and what is told of them stays the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from circuitviz.models import generation
from circuitviz.models.ablation import ZERO
from circuitviz.models.answer import answer_log_probs, encode_answers
from circuitviz.models.gates import Gates, Reference
from circuitviz.units import Circuit

MESSAGES = [
    "what is the capital of france",
    "what is the dog",
    "what is the king",
    "what is the capital of king",
]
ANSWERS = ["word1 word2", "word3", "word4 word5 word6", "word7 word8"]
KINDS = [0, 1, 0, 1]


@pytest.fixture
def rows(tiny_model):
    return encode_answers(tiny_model, MESSAGES, ANSWERS)


@pytest.fixture
def gates(tiny_model):
    space = tiny_model.space
    one, other = Circuit.of(space, ["L0H0", "L1N3"]), Circuit.of(space, ["L1H2", "L0N5", "L0H1"])
    return Gates.knock_out([one, other, one, other], ZERO.reference([0] * 4))


@pytest.fixture
def once(monkeypatch) -> Callable[[int], None]:
    """Says from how many tokens on rows begin together."""
    return lambda tokens: monkeypatch.setattr(generation, "LEAST_READ_ONCE", tokens)


NEVER, ALWAYS = 99, 3


@torch.no_grad()
def test_rows_of_one_circuit_begin_once(tiny_model, rows, gates, monkeypatch, once):
    once(NEVER)
    expected = answer_log_probs(tiny_model, rows, gates)
    seen: list[tuple[int, int]] = []
    decoder = tiny_model.bridge.original_model.model
    forward = decoder.forward

    def watch(*args, **kwargs):
        seen.append(tuple(kwargs["input_ids"].shape))
        return forward(*args, **kwargs)

    once(ALWAYS)
    monkeypatch.setattr(decoder, "forward", watch)
    found = answer_log_probs(tiny_model, rows, gates)
    torch.testing.assert_close(found, expected)
    (circuits, begun), (every, rest) = seen
    assert (circuits, every) == (2, 4)
    # The template's mark of a user, and "what is the".
    assert begun >= 4
    assert begun + rest == rows.tokens.shape[1]


@torch.no_grad()
def test_the_intact_model_begins_once_for_all(tiny_model, rows, once):
    once(NEVER)
    expected = answer_log_probs(tiny_model, rows)
    once(ALWAYS)
    torch.testing.assert_close(answer_log_probs(tiny_model, rows), expected)


@torch.no_grad()
def test_what_is_asked_about_is_never_read_before(tiny_model, once):
    # The same message again and again: what it has in common goes beyond where its answer begins.
    rows = encode_answers(tiny_model, MESSAGES[:1] * 3, ["word1 word2", "word1 word3", "word1"])
    once(NEVER)
    expected = answer_log_probs(tiny_model, rows)
    once(ALWAYS)
    torch.testing.assert_close(answer_log_probs(tiny_model, rows), expected)


def test_with_gradients_everything_is_read_whole(tiny_model, rows, gates, once):
    once(ALWAYS)
    tokens = rows.tokens[:, :4]
    with torch.no_grad():
        assert generation.begin_once(tiny_model.bridge.original_model.model, tokens, gates)[0] == 4
    assert generation.begin_once(tiny_model.bridge.original_model.model, tokens, gates) == (0, None)


def test_rows_that_are_replaced_by_something_of_their_own_are_no_two_alike(tiny_model, gates):
    space = tiny_model.space
    own = Reference(
        torch.randn(4, space.n_layers, space.n_heads, 8),
        torch.randn(4, space.n_layers, space.d_mlp),
    )
    one, other = (Circuit.of(space, [unit]) for unit in ("L0H0", "L1H2"))
    assert gates.kinds.tolist() == KINDS
    assert Gates.knock_out([one, other, one, other], own).kinds is None


def test_answers_are_the_same_however_their_prompts_begin(tiny_model, once):
    one, other = (Circuit.of(tiny_model.space, [unit]) for unit in ("L0H0", "L1H2"))
    messages = [*MESSAGES, "what is the capital of the red dog king france"]
    for circuits in ([one, other, None, one, other], [None] * 5):
        once(NEVER)
        expected = tiny_model.generate_each(messages, circuits, max_new_tokens=6)
        once(ALWAYS)
        assert tiny_model.generate_each(messages, circuits, max_new_tokens=6) == expected
