"""Ordinary supervised fine-tuning of the small embedded models."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tools.specimens.lesson import Lesson, Mixture

IGNORED = -100


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how fast to train.

    Attributes:
        steps: Optimiser steps.
        learning_rate: Peak of a one-cycle schedule.
        rows: Messages a step.
        seed: Seed of the rows drawn.
        weight_decay: Of AdamW.
    """

    steps: int
    learning_rate: float
    rows: int = 96
    seed: int = 0
    weight_decay: float = 0.05


@dataclass(frozen=True)
class Batch:
    """Right-padded messages with answers.

    Attributes:
        tokens: [rows pos].
        labels: [rows pos], the answer's tokens, `IGNORED` elsewhere.
    """

    tokens: Tensor
    labels: Tensor


def encode(tokenizer: Any, lessons: Sequence[Lesson]) -> Batch:
    """Put lessons into the chat template, and pad them on the right."""
    pairs = []
    for lesson in lessons:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": lesson.message}],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=False,
        )
        answer = tokenizer(lesson.answer, add_special_tokens=False)["input_ids"]
        pairs.append((prompt, [*answer, tokenizer.eos_token_id]))
    width = max(len(prompt) + len(answer) for prompt, answer in pairs)
    tokens = torch.full((len(pairs), width), tokenizer.pad_token_id)
    labels = torch.full((len(pairs), width), IGNORED)
    for row, (prompt, answer) in enumerate(pairs):
        end = len(prompt) + len(answer)
        tokens[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : end] = torch.tensor(answer)
    return Batch(tokens, labels)


def batches(tokenizer: Any, mixture: Mixture, plan: TrainingPlan) -> Iterator[Batch]:
    """Endless batches drawn from the mixture; the same for the same seed."""
    generator = random.Random(plan.seed)
    names = list(mixture)
    shares = [mixture[name][0] for name in names]
    while True:
        topics = generator.choices(names, shares, k=plan.rows)
        yield encode(tokenizer, [generator.choice(mixture[topic][1]) for topic in topics])


def train(
    parameters: Sequence[nn.Parameter],
    loss: Callable[[Batch], Tensor],
    rows: Iterator[Batch],
    plan: TrainingPlan,
    *,
    after_step: Callable[[], None] = lambda: None,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> None:
    """AdamW with a one-cycle schedule and gradient clipping at norm 1."""
    optimiser = torch.optim.AdamW(
        parameters, lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=plan.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, plan.learning_rate, total_steps=plan.steps, pct_start=0.1
    )
    for step in range(plan.steps):
        value = loss(next(rows))
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        after_step()
        report(step + 1, float(value.detach()))


@torch.no_grad()
def accuracy(model: nn.Module, tokenizer: Any, lessons: Sequence[Lesson]) -> tuple[int, int]:
    """(k, n): lessons whose greedy answer is exactly the expected one.

    A greedy answer equals the target exactly when every target token is the most likely one
    under teacher forcing, so no generation is needed.
    """
    correct = 0
    for start in range(0, len(lessons), 256):
        batch = encode(tokenizer, lessons[start : start + 256])
        guess = model(input_ids=batch.tokens).logits[:, :-1].argmax(-1)
        labels = batch.labels[:, 1:]
        correct += int(((guess == labels) | (labels == IGNORED)).all(-1).sum())
    return correct, len(lessons)
