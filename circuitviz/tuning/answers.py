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
        mask = torch.ones_like(tokens)
        return model.generate(tokens, attention_mask=mask, generation_config=greedy)  # type: ignore[operator]

    return answered(tokenizer, prompts, answer)
