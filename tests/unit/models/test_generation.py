"""Many answers at once: begun together, left when ended, and each what it would be alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from circuitviz.models import generation, model
from circuitviz.models.ablation import ZERO, measure_ablation
from circuitviz.models.answer import answer_log_probs, encode_answers
from circuitviz.models.gates import Gates, Reference
from circuitviz.models.generation import (
    continue_greedily,
    max_batches,
    max_checkpoints,
    unembed_in_one_piece,
)
from circuitviz.units import Circuit

BEGINNINGS = [
    "what is the capital of france",
    "what is the dog",
    "what is the king",
    "what is the capital of king",
]
ANSWERS = ["word1 word2", "word3", "word4 word5 word6", "word7 word8"]
# Tokens from which on rows begin together.
NEVER, ALWAYS = 99, 3
MESSAGES = [f"what is word{number}" for number in range(5)] + ["word1 word2 word3 word4 word5"]


def test_answers_in_small_batches_are_the_answers_in_one_go(tiny_model, monkeypatch):
    nothing, some = None, Circuit(tiny_model.space, frozenset({tiny_model.space.unit(0)}))
    circuits = [nothing, some, nothing, some, nothing, some]
    whole = tiny_model.generate_each(MESSAGES, circuits, max_new_tokens=8)
    monkeypatch.setattr(generation, "ROWS_TOGETHER", 4)
    asked: list[None] = []
    parts = tiny_model.generate_each(
        MESSAGES, circuits, max_new_tokens=8, checkpoint=lambda: asked.append(None)
    )
    assert tiny_model.has_hidden
    assert parts == whole
    # Nobody says the end: each batch goes on to the last token.
    assert len(asked) == 2 * (1 + 8)


def test_an_answer_that_has_ended_is_not_asked_to_go_on(tiny_model, monkeypatch):
    first = tiny_model.generate(MESSAGES[:1], max_new_tokens=1)[0]
    (end,) = tiny_model.answer_tokens(first, complete=False)
    monkeypatch.setattr(model, "end_of_turn", lambda tokenizer: end)
    asked: list[None] = []
    (said,) = tiny_model.generate_each(
        MESSAGES[:1], [None], max_new_tokens=8, checkpoint=lambda: asked.append(None)
    )
    assert said == ""
    # Once before the batch, and once after the only token that was said.
    assert len(asked) == 2


def test_rows_that_have_ended_are_taken_out_and_the_others_say_what_they_would_alone(
    tiny_model, monkeypatch
):
    space = tiny_model.space
    every = [Circuit(space, frozenset({space.unit(place)})) for place in range(len(MESSAGES))]
    ablation = measure_ablation(tiny_model, "resample", MESSAGES)
    said = tiny_model.generate_each(MESSAGES, every, ablation=ablation, max_new_tokens=12)
    tokens = [tiny_model.answer_tokens(text, complete=False) for text in said]
    # A token that some of them say early, and others late or never.
    ends = {
        end: [row.index(end) if end in row else 12 for row in tokens]
        for end in sorted({token for row in tokens for token in row})
    }
    end = max(ends, key=lambda token: len(set(ends[token])))
    monkeypatch.setattr(model, "end_of_turn", lambda tokenizer: end)
    sizes: list[int] = []
    plain = tiny_model.bridge.original_model
    generate = plain.generate

    def watched(input_ids, **kwargs):
        sizes.append(len(input_ids))
        return generate(input_ids=input_ids, **kwargs)

    monkeypatch.setattr(plain, "generate", watched)
    together = tiny_model.generate_each(MESSAGES, every, ablation=ablation, max_new_tokens=12)
    assert len(sizes) > 1
    assert sizes == sorted(sizes, reverse=True)
    alone = [
        tiny_model.generate_each([message], [circuit], ablation=ablation, max_new_tokens=12)[0]
        for message, circuit in zip(MESSAGES, every, strict=True)
    ]
    assert together == alone


class Countdown(torch.nn.Module):
    """Says one less than the last token, down to 0; remembers how many tokens it was shown."""

    device, base_model_prefix, decoder = torch.device("cpu"), "decoder", None
    config = None

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[int, int]] = []

    def generate(self, input_ids, max_new_tokens, stopping_criteria, **kwargs):
        """As transformers does it: until all rows stop."""
        self.shown.append(tuple(input_ids.shape))
        for _ in range(max_new_tokens):
            following = (input_ids[:, -1:] - 1).clamp_min(0)
            input_ids = torch.cat([input_ids, following], dim=1)
            if stopping_criteria(input_ids, None).all():
                break
        return input_ids


def test_rows_that_go_on_are_put_together_anew_once_most_have_ended(monkeypatch):
    monkeypatch.setattr(generation, "ROWS_TOGETHER", 4)
    counts = Countdown()
    prompts = [[2], [2], [2], [9], [9, 3], [9, 3], [9, 3], [9, 30]]
    gates: list[list[int]] = []

    def none_of(rows: list[int]) -> None:
        gates.append(rows)

    asked: list[None] = []
    said = continue_greedily(
        counts, prompts, none_of, end=0, most=12, checkpoint=lambda: asked.append(None)
    )
    assert said[:3] == [[1]] * 3
    assert said[3] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert said[4:7] == [[2, 1]] * 3
    # Never longer than it may be, however long the others were given.
    assert said[7] == list(range(29, 17, -1))
    # Three of four have ended after two tokens (after three); the two others go on together.
    assert gates == [[0, 1, 2, 3], [4, 5, 6, 7], [3, 7]]
    # Of these the first ends after seven more, and is taken out.
    assert counts.shown == [(4, 1), (4, 2), (2, 5), (1, 12)]
    # Three batches, and 2, 3 and 9 tokens in them: three of its twelve the last row said before.
    assert len(asked) == 3 + 2 + 3 + 9
    assert max_batches(8) == 3
    assert max_checkpoints(8, 12) == 3 * 13


@pytest.mark.parametrize(
    ("prompts", "batches"), [(0, 0), (1, 1), (64, 1), (65, 3), (128, 3), (275, 5 + 3), (640, 14)]
)
def test_how_many_batches_it_takes_at_most(prompts, batches):
    # 65 leave 16 at most, 128 leave 32; 275 leave 68, these 17; 640 leave 160 (3) and 40 (1).
    assert max_batches(prompts) == batches


def test_a_head_is_given_the_last_positions_in_one_piece():
    head = torch.nn.Linear(3, 5)

    class Headed:
        def get_output_embeddings(self) -> torch.nn.Linear:
            return head

    given: list[bool] = []
    unembed_in_one_piece(Headed())
    head.register_forward_hook(lambda _, seen, __: given.append(seen[0].is_contiguous()))
    last = torch.arange(24.0).reshape(2, 4, 3)[:, -1:]
    assert not last.is_contiguous()
    torch.testing.assert_close(head(last), torch.nn.functional.linear(last, head.weight, head.bias))
    assert given == [True]


@pytest.fixture
def rows(tiny_model):
    return encode_answers(tiny_model, BEGINNINGS, ANSWERS)


@pytest.fixture
def gates(tiny_model):
    space = tiny_model.space
    one, other = Circuit.of(space, ["L0H0", "L1N3"]), Circuit.of(space, ["L1H2", "L0N5", "L0H1"])
    return Gates.knock_out([one, other, one, other], ZERO.reference([0] * 4))


@pytest.fixture
def once(monkeypatch) -> Callable[[int], None]:
    """Says from how many tokens on rows begin together."""
    return lambda tokens: monkeypatch.setattr(generation, "MIN_READ_ONCE", tokens)


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
    log_probs = answer_log_probs(tiny_model, rows, gates)
    torch.testing.assert_close(log_probs, expected)
    (circuits, begun), (every, rest) = seen
    assert (circuits, every) == (2, 4)
    # The template's mark of a user, and "what is the".
    assert begun >= 4
    assert begun + rest == rows.tokens.shape[1]


@torch.no_grad()
@pytest.mark.parametrize(
    ("messages", "answers"),
    [
        (BEGINNINGS, ANSWERS),
        # What one message has in common with itself goes beyond where its answer begins, and what
        # is asked about is never read before.
        (BEGINNINGS[:1] * 3, ["word1 word2", "word1 word3", "word1"]),
    ],
)
def test_the_intact_model_begins_once_for_all(tiny_model, once, messages, answers):
    rows = encode_answers(tiny_model, messages, answers)
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
    assert gates.kinds.tolist() == [0, 1, 0, 1]
    assert Gates.knock_out([one, other, one, other], own).kinds is None


def test_answers_are_the_same_however_their_prompts_begin(tiny_model, once):
    one, other = (Circuit.of(tiny_model.space, [unit]) for unit in ("L0H0", "L1H2"))
    messages = [*BEGINNINGS, "what is the capital of the red dog king france"]
    for circuits in ([one, other, None, one, other], [None] * 5):
        once(NEVER)
        expected = tiny_model.generate_each(messages, circuits, max_new_tokens=6)
        once(ALWAYS)
        assert tiny_model.generate_each(messages, circuits, max_new_tokens=6) == expected
