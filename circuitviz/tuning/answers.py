"""Greedy answers of a plain transformers model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from circuitviz.models.model import answered

__all__ = ["plain_answers"]


@torch.no_grad()
def plain_answers(
    model: PreTrainedModel, tokenizer: Any, prompts: Sequence[str], *, max_new_tokens: int = 32
) -> list[str]:
    """Greedy answers to user messages by transformers' own generation, with nothing hooked.

    Args:
        model: A plain model.
        tokenizer: Its tokenizer, with a chat template and an end-of-sequence token.
        prompts: User messages.
        max_new_tokens: Longest generated answer.
    """
    end = tokenizer.eos_token_id
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
        return answered(tokenizer, prompts, answer)
    finally:
        model.generation_config = own
