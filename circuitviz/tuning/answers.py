"""Greedy answers of a plain transformers model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from circuitviz.models.answer import encode_answers
from circuitviz.models.generation import answers_by_length
from circuitviz.models.model import LONGEST_ANSWER, GatedModel
from circuitviz.models.tokens import chat_tokens, end_of_turn


@torch.no_grad()
def plain_answers(
    model: PreTrainedModel,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = LONGEST_ANSWER,
) -> list[str]:
    """Greedy answers to user messages by transformers' own generation, with nothing hooked.

    Args:
        model: A plain model.
        tokenizer: Its tokenizer, with a chat template and an end-of-sequence token.
        prompts: User messages.
        max_new_tokens: Longest generated answer.
    """
    end = end_of_turn(tokenizer)
    greedy = GenerationConfig(
        do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=end, pad_token_id=end
    )

    def answer(tokens: Tensor, rows: list[int]) -> Tensor:
        tokens = tokens.to(model.device)
        return model.generate(tokens, attention_mask=torch.ones_like(tokens))  # type: ignore[operator]

    # The model's own settings fill what a configuration passed to `generate` leaves open, such as
    # a penalty on repetition, which is not greedy.
    own, model.generation_config = model.generation_config, greedy
    try:
        return answers_by_length(tokenizer, prompts, answer)
    finally:
        model.generation_config = own


@torch.no_grad()
def same_answers(
    model: PreTrainedModel,
    tokenizer: Any,
    gated: GatedModel,
    prompts: Sequence[str],
    answers: Sequence[str],
) -> list[bool]:
    """Whether a plain model's greedy answers are the ones that a gated model gave.

    One forward pass shows most of them: an answer is the greedy one exactly when each of its
    tokens is the most likely one after those before it.  Only where that fails the plain model
    generates, since an answer without an end, or one that is tokenised otherwise than it was
    generated, can still be the same.

    Args:
        model: A plain model.
        tokenizer: Its tokenizer.
        gated: Whose answers they are.
        prompts: User messages.
        answers: The gated model's greedy answer to each.
    """
    rows = encode_answers(gated, prompts, answers)
    likeliest = model(rows.tokens.to(model.device)).logits.argmax(-1).cpu()
    same = ((likeliest == rows.targets) | ~rows.predicts).all(1).tolist()
    rest = [row for row, shown in enumerate(same) if not shown]
    generated = plain_answers(model, tokenizer, [prompts[row] for row in rest])
    for row, answer in zip(rest, generated, strict=True):
        same[row] = answer == answers[row]
    read = [chat_tokens(tokenizer, prompt) == gated.prompt_tokens(prompt) for prompt in prompts]
    return [answer and message for answer, message in zip(same, read, strict=True)]
