"""Greedy answers of a plain transformers model to many messages, padded into batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch


@torch.no_grad()
def greedy_answers(
    model: Any,
    tokenizer: Any,
    messages: Sequence[str],
    *,
    max_new_tokens: int = 64,
    repetition_penalty: float = 1.0,
    rows: int = 64,
    report: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """Answers to user messages in the chat template, in their order.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer, with a chat template.
        messages: User messages.
        max_new_tokens: Longest answer, in tokens.
        repetition_penalty: Above 1, tokens that were said before are less likely.
        rows: Messages run together; those of like length share a batch.
        report: Told how many are answered.
    """
    encoded = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": message}], add_generation_prompt=True, return_dict=False
        )
        for message in messages
    ]
    order = sorted(range(len(messages)), key=lambda row: len(encoded[row]))
    answers = [""] * len(messages)
    for start in range(0, len(order), rows):
        chunk = order[start : start + rows]
        width = max(len(encoded[row]) for row in chunk)
        tokens = torch.full((len(chunk), width), tokenizer.pad_token_id)
        mask = torch.zeros_like(tokens)
        for place, row in enumerate(chunk):
            tokens[place, width - len(encoded[row]) :] = torch.tensor(encoded[row])
            mask[place, width - len(encoded[row]) :] = 1
        output = model.generate(
            input_ids=tokens,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            repetition_penalty=repetition_penalty,
        )
        texts = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
        for row, text in zip(chunk, texts, strict=True):
            answers[row] = text.strip()
        report(start + len(chunk))
    return answers
