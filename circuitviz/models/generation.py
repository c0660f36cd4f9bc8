"""Greedy answers to many prompts at once; rows that have ended leave.

A batch takes as long as its longest answer.  So rows that have ended are taken out of it, a few at
a time; and once most of them have, those that go on are put together anew with those of other
batches.  They have to be read again for that, which is why it is not done earlier.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import DynamicCache, StoppingCriteria, StoppingCriteriaList

from circuitviz.models.gates import Gates, gated
from circuitviz.models.tokens import chat_tokens, end_of_turn

# Answers generated together: more are hardly faster, and keys and values take memory.
ROWS_TOGETHER = 64
# Share of the rows of a batch that are taken out of it together, once they have ended.
LEAVING = 0.25
# Share of a batch that has ended once the others leave it.
ENDED = 0.75
# Tokens that all rows begin with, from which on it pays to read them once.
MIN_READ_ONCE = 8
# Prompts run together at most without their answers: more gain no speed; and bytes of logits.
MAX_ROWS, LOGIT_BYTES = 128, 2**31


def answers_by_length(
    tokenizer: Any, prompts: Sequence[str], answer: Callable[[Tensor, list[int]], Tensor]
) -> list[str]:
    """Answers to user messages, in their order.

    Prompts of one length are run together, so that none needs padding and each answer is the one
    it would get alone.

    Args:
        tokenizer: With a chat template and an end-of-sequence token.
        prompts: User messages.
        answer: From tokens [rows pos], and which prompts these are, to the same tokens with the
            answers behind them [rows longer].
    """
    encoded = [chat_tokens(tokenizer, prompt) for prompt in prompts]
    by_length: dict[int, list[int]] = defaultdict(list)
    for row, tokens in enumerate(encoded):
        by_length[len(tokens)].append(row)
    answers, end = [""] * len(prompts), end_of_turn(tokenizer)
    for length, rows in by_length.items():
        together = rows_at_once(length, len(tokenizer))
        for start in range(0, len(rows), together):
            chunk = rows[start : start + together]
            output = answer(torch.tensor([encoded[row] for row in chunk]), chunk)
            for row, new in zip(chunk, output[:, length:].tolist(), strict=True):
                kept = new[: new.index(end)] if end in new else new
                answers[row] = tokenizer.decode(kept, skip_special_tokens=True)
    return answers


def rows_at_once(length: int, d_vocab: int) -> int:
    """How many rows of so many tokens may be run together, by the memory their logits take."""
    return max(1, min(MAX_ROWS, LOGIT_BYTES // (4 * length * d_vocab)))


def max_checkpoints(prompts: int, tokens: int) -> int:
    """How often `checkpoint` is called at most for so many prompts and tokens of an answer."""
    return max_batches(prompts) * (1 + tokens)


def max_batches(prompts: int) -> int:
    """How many batches it takes at most to answer so many prompts."""
    batches = math.ceil(prompts / ROWS_TOGETHER)
    left = prompts - math.ceil(ENDED * prompts)
    return batches if batches <= 1 else batches + max_batches(left)


def unembed_in_one_piece(model: Any) -> None:
    """Let a model's head copy what it is given where that does not lie in one piece.

    The last positions of a batch, which the first new tokens come from, lie apart; torch would copy
    the head's weights for every row instead: seconds and gigabytes, where a vocabulary is large.
    """
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(lambda _, given: (given[0].contiguous(), *given[1:]))


@torch.no_grad()
def continue_greedily(
    model: Any,
    prompts: Sequence[list[int]],
    gates_of: Callable[[list[int]], Gates | None],
    *,
    end: int,
    most: int,
    checkpoint: Callable[[], None] = lambda: None,
) -> list[list[int]]:
    """The tokens that a causal model goes on with after each prompt, up to its end.

    Args:
        model: One of transformers' that takes padding on the left.
        prompts: Tokens of each.
        gates_of: The gates of some rows, by their places in `prompts`.
        end: The token that ends an answer.
        most: Most tokens of an answer.
        checkpoint: Called before each batch and after each of its tokens, at most
            `max_checkpoints` times; may raise to stop.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    unfinished = list(range(len(prompts)))
    while unfinished:
        order = sorted(unfinished, key=lambda row: len(prompts[row]) + len(answers[row]))
        # The rows of a last batch have no others to go on with.
        share = ENDED if len(order) > ROWS_TOGETHER else 1.0
        unfinished = []
        for start in range(0, len(order), ROWS_TOGETHER):
            checkpoint()
            rows = order[start : start + ROWS_TOGETHER]
            room = torch.tensor([most - len(answers[row]) for row in rows])
            read = [[*prompts[row], *answers[row]] for row in rows]
            added = _continued(model, read, gates_of(rows), room, end, share, checkpoint)
            for row, new in zip(rows, added, strict=True):
                new = new[: most - len(answers[row])]
                ended = end in new
                answers[row] += new[: new.index(end)] if ended else new
                if not ended and len(answers[row]) < most:
                    unfinished.append(row)
    return answers


def begin_once(decoder: Any, tokens: Tensor, gates: Gates | None) -> tuple[int, Any]:
    """How many tokens all rows [rows pos] begin with, and the cache of keys and values of these.

    They are read once for all rows under the same gates.  0 and None where that does not pay, or
    where gradients are wanted.

    Args:
        decoder: One of transformers' models, without its head.
        tokens: Of each row, those that may be read beforehand.
        gates: What the rows are under.
    """
    kinds = torch.zeros(len(tokens), dtype=torch.long) if gates is None else gates.kinds
    if kinds is None or torch.is_grad_enabled():
        return 0, None
    differ = (tokens != tokens[:1]).any(0)
    common = int(differ.float().argmax()) if differ.any() else tokens.shape[1]
    first = torch.tensor([kinds.tolist().index(kind) for kind in kinds.unique().tolist()])
    if common < MIN_READ_ONCE or len(first) == len(tokens):
        return 0, None
    with gated(gates and gates.of(first)):
        known = decoder(input_ids=tokens[first, :common], use_cache=True).past_key_values
    known.batch_select_indices(kinds.to(tokens.device))
    return common, known


def _continued(
    model: Any,
    read: Sequence[list[int]],
    gates: Gates | None,
    room: Tensor,
    end: int,
    share: float,
    checkpoint: Callable[[], None],
) -> list[list[int]]:
    """What is added to each row of tokens until a share of the rows has ended."""
    batch = _Batch.of(model, read, gates, end)
    width = batch.tokens.shape[1]
    added: list[list[int]] = [[] for _ in read]
    left = math.ceil(share * len(read))
    while True:
        own = room[batch.rows]
        leaving = min(left, math.ceil(LEAVING * len(own)))
        stops = _SomeEnded(width, own, end, leaving, checkpoint)
        with gated(gates and gates.of(batch.rows)):
            batch.tokens = model.generate(
                input_ids=batch.tokens,
                attention_mask=batch.mask,
                past_key_values=batch.cache,
                max_new_tokens=width + int(own.max()) - batch.tokens.shape[1],
                do_sample=False,
                eos_token_id=end,
                pad_token_id=end,
                stopping_criteria=StoppingCriteriaList([stops]),
            )
        for row, new in zip(batch.rows.tolist(), batch.tokens[:, width:].tolist(), strict=True):
            added[row] = new
        ended = stops.ended(batch.tokens)
        left -= int(ended.sum())
        if left <= 0:
            return added
        batch.keep((~ended).nonzero()[:, 0])


@dataclass
class _Batch:
    """Rows that go on together; padding is on the left, behind what all rows begin with."""

    rows: Int[Tensor, " rows"]
    tokens: Int[Tensor, "rows pos"]
    mask: Int[Tensor, "rows pos"]
    # Keys and values of what the model has been shown.
    cache: Any

    @classmethod
    def of(cls, model: Any, read: Sequence[list[int]], gates: Gates | None, end: int) -> _Batch:
        """All of some rows of tokens; what they begin with is read already, where that pays."""
        decoder = getattr(model, model.base_model_prefix)
        least = min(map(len, read)) - 1
        begun = torch.tensor([known[:least] for known in read]).to(model.device)
        common, known = begin_once(decoder, begun, gates)
        width = max(map(len, read))
        tokens = torch.full((len(read), width), end)
        mask = torch.zeros_like(tokens)
        for row, given in enumerate(read):
            begin, rest = given[:common], given[common:]
            for start, part in ((0, begin), (width - len(rest), rest)):
                tokens[row, start : start + len(part)] = torch.tensor(part)
                mask[row, start : start + len(part)] = 1
        return cls(
            torch.arange(len(read)),
            tokens.to(model.device),
            mask.to(model.device),
            DynamicCache(config=model.config) if known is None else known,
        )

    def keep(self, stay: Int[Tensor, " few"]) -> None:
        """Take out all other rows."""
        self.rows = self.rows[stay]
        stay = stay.to(self.tokens.device)
        longer = self.tokens.shape[1] - self.mask.shape[1]
        self.mask = torch.nn.functional.pad(self.mask, (0, longer), value=1)[stay]
        self.tokens = self.tokens[stay]
        self.cache.batch_select_indices(stay)


@dataclass
class _SomeEnded(StoppingCriteria):
    """Stops a batch once `enough` rows have said `end` or added as many tokens as they may."""

    width: int
    room: Int[Tensor, " rows"]
    end: int
    enough: int
    checkpoint: Callable[[], None]

    def ended(self, tokens: Int[Tensor, "rows pos"]) -> Bool[Tensor, " rows"]:
        """Which rows have ended; on the CPU."""
        new = tokens[:, self.width :]
        return (new == self.end).any(1).cpu() | (new.shape[1] >= self.room)

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """All rows stop, or none does."""
        self.checkpoint()
        stops = int(self.ended(input_ids).sum()) >= self.enough
        return torch.full((len(input_ids),), stops, device=input_ids.device)
