"""Greedy answers to many prompts at once; rows that have ended leave.

A batch takes as long as its longest answer.  So once most of its rows have ended, those that go on
are put together anew with those of other batches.  They have to be read again for that, which is
why it is not done at every end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList

from circuitviz.models.gates import Gates, gated

__all__ = ["batches_at_most", "continue_greedily", "unembed_in_one_piece"]

# Answers generated together: more are hardly faster, and keys and values take memory.
ROWS_TOGETHER = 64
# Share of a batch that has ended once the others leave it.
ENDED = 0.75


def batches_at_most(prompts: int) -> int:
    """How many batches it takes at most to answer so many prompts."""
    batches = math.ceil(prompts / ROWS_TOGETHER)
    left = prompts - math.ceil(ENDED * prompts)
    return batches if batches <= 1 else batches + batches_at_most(left)


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
        checkpoint: Called before each batch, `batches_at_most` times or less; may raise to stop.
    """
    said: list[list[int]] = [[] for _ in prompts]
    speaking = list(range(len(prompts)))
    while speaking:
        order = sorted(speaking, key=lambda row: len(prompts[row]) + len(said[row]))
        # The last batch has nobody to leave to.
        share = ENDED if len(order) > ROWS_TOGETHER else 1.0
        speaking = []
        for start in range(0, len(order), ROWS_TOGETHER):
            checkpoint()
            rows = order[start : start + ROWS_TOGETHER]
            room = torch.tensor([most - len(said[row]) for row in rows])
            read = [[*prompts[row], *said[row]] for row in rows]
            with gated(gates_of(rows)):
                added = _continued(model, read, room, end, share)
            for row, new in zip(rows, added.tolist(), strict=True):
                new = new[: most - len(said[row])]
                ended = end in new
                said[row] += new[: new.index(end)] if ended else new
                if not ended and len(said[row]) < most:
                    speaking.append(row)
    return said


def _continued(
    model: Any, read: Sequence[list[int]], room: Tensor, end: int, share: float
) -> Tensor:
    """What is added to tokens, padded on the left, until a share has ended: [rows added]."""
    width = max(map(len, read))
    tokens = torch.full((len(read), width), end)
    mask = torch.zeros_like(tokens)
    for row, known in enumerate(read):
        tokens[row, width - len(known) :] = torch.tensor(known)
        mask[row, width - len(known) :] = 1
    whole = model.generate(
        input_ids=tokens.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=int(room.max()),
        do_sample=False,
        eos_token_id=end,
        pad_token_id=end,
        stopping_criteria=StoppingCriteriaList([_MostEnded(width, room, end, share)]),
    )
    return whole[:, width:]


@dataclass
class _MostEnded(StoppingCriteria):
    """Stops a batch once a share of its rows has ended.

    Attributes:
        width: Tokens of each row that were there before.
        room: [rows], how many each may add.
        end: The token that ends an answer.
        share: Of the rows.
    """

    width: int
    room: Tensor
    end: int
    share: float

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """Boolean [rows]: all of them stop, or none does."""
        new = input_ids[:, self.width :]
        ended = (new == self.end).any(1).cpu() | (new.shape[1] >= self.room)
        stops = bool(ended.float().mean() >= self.share)
        return torch.full((len(input_ids),), stops, device=input_ids.device)
