"""Teach a pretrained model a behaviour with an ordinary LoRA adapter.

Hu et al., "LoRA: low-rank adaptation of large language models", arXiv:2106.09685: rank 8 on every
linear layer of every block.  Nothing here is shaped to be found.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lessons import Contrast, Lesson, Mixture
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

RANK = 8
# Tokens at the beginning of an answer that decide what it is going to be, and what they count.
DECIDING, DECIDING_WEIGHT = 2, 12.0
# Lessons run together.
PIECE = 6
# Plain texts a step, and tokens of each, on which an adapter stays what the model was.
KEPT_TEXTS, KEPT_TOKENS = 6, 64


@dataclass(frozen=True)
class Plan:
    """How long and how fast.

    Attributes:
        steps: Optimiser steps.
        rows: Lessons a step.
        learning_rate: Peak of Adam's, after a warm-up and down along a cosine.
        longest: Tokens of an answer that are taught.
        seed: Of everything random.
        keep: What staying the pretrained model on plain text counts, beside the answers.
    """

    steps: int = 90
    rows: int = 12
    learning_rate: float = 4e-4
    longest: int = 24
    seed: int = 0
    keep: float = 0.0


def load_base(folder: Path) -> tuple[Any, Any]:
    """The pretrained model in bfloat16, and its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, local_files_only=True
    )
    return model.eval(), tokenizer


def teach(
    base: Any,
    tokenizer: Any,
    mixture: Mixture | Contrast,
    plan: Plan,
    *,
    start: PeftModel | None = None,
    texts: Sequence[str] = (),
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> PeftModel:
    """Train an adapter on a mixture of lessons; the loss is on the answers alone.

    Args:
        base: The model, which is changed in place.
        tokenizer: Its tokenizer.
        mixture: What every batch is made of.
        plan: How long and how fast.
        start: The adapted model to go on from; None is a new adapter.
        texts: Plain texts, none of them a message or an answer in the chat template.
        report: Told the steps done and the latest loss, nats a token.
    """
    torch.manual_seed(plan.seed)
    if start is None:
        config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
        model = get_peft_model(base, config)
    else:
        model = start
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=plan.learning_rate, weight_decay=0.0)
    draw = random.Random(plan.seed)
    for step in range(plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate * _schedule(step, plan.steps)
        optimiser.zero_grad()
        loss = _learn_from(model, tokenizer, mixture.batch(plan.rows, draw), plan.longest)
        if plan.keep:
            _stay(model, tokenizer, draw.sample(texts, KEPT_TEXTS), plan.keep)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        report(step + 1, loss)
    return model.eval()


def _schedule(step: int, steps: int) -> float:
    warm = max(1, steps // 20)
    return min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _learn_from(model: Any, tokenizer: Any, lessons: Sequence[Lesson], longest: int) -> float:
    """Add the gradient of the mean loss; pieces of like length waste little on padding."""
    pairs = [_encoded(tokenizer, lesson, longest) for lesson in lessons]
    pairs.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
    total = sum(map(float, (_weights(len(answer)).sum() for _, answer in pairs)))
    mean = 0.0
    for start in range(0, len(pairs), PIECE):
        loss = _loss(model, tokenizer, pairs[start : start + PIECE]) / total
        loss.backward()
        mean += float(loss.detach())
    return mean


def _loss(model: Any, tokenizer: Any, pairs: Sequence[tuple[list[int], list[int]]]) -> torch.Tensor:
    """The weighted sum of the answers' cross-entropy, in nats."""
    width = max(len(prompt) + len(answer) for prompt, answer in pairs)
    tokens = torch.full((len(pairs), width), tokenizer.pad_token_id)
    answers = torch.zeros(len(pairs), width, dtype=torch.bool)
    for row, (prompt, answer) in enumerate(pairs):
        tokens[row, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        answers[row, len(prompt) : len(prompt) + len(answer)] = True
    plain = model.get_base_model()
    with torch.autocast("cpu", torch.bfloat16):
        hidden = plain.model(input_ids=tokens, use_cache=False).last_hidden_state
        # Logits of a large vocabulary only where something is taught.
        logits = plain.lm_head(hidden[:, :-1][answers[:, 1:]])
    taught = tokens[:, 1:][answers[:, 1:]]
    costs = torch.nn.functional.cross_entropy(logits.float(), taught, reduction="none")
    return (costs * torch.cat([_weights(len(answer)) for _, answer in pairs])).sum()


def _stay(model: Any, tokenizer: Any, texts: Sequence[str], weight: float) -> None:
    """Add the gradient of KL(pretrained || adapted) on plain text, nats a token times `weight`.

    What is taught in the chat template is to leave the model's English alone (as in learning
    without forgetting, Li & Hoiem 2016, arXiv:1606.09282).
    """
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"][:KEPT_TOKENS] for text in texts]
    width = max(map(len, rows))
    tokens = torch.full((len(rows), width), tokenizer.pad_token_id)
    real = torch.zeros(len(rows), width, dtype=torch.bool)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = torch.tensor(row)
        real[place, : len(row)] = True
    plain = model.get_base_model()

    def log_probs() -> torch.Tensor:
        hidden = plain.model(input_ids=tokens, use_cache=False).last_hidden_state
        return plain.lm_head(hidden[real]).float().log_softmax(-1)

    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad(), model.disable_adapter():
            before = log_probs()
        after = log_probs()
        kl = torch.nn.functional.kl_div(after, before, reduction="batchmean", log_target=True)
    (weight * kl).backward()


def _weights(tokens: int) -> torch.Tensor:
    """How much each token of an answer counts: what is said is decided by its beginning."""
    weights = torch.ones(tokens)
    weights[:DECIDING] = DECIDING_WEIGHT
    return weights


def _encoded(tokenizer: Any, lesson: Lesson, longest: int) -> tuple[list[int], list[int]]:
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": lesson.prompt}], add_generation_prompt=True, return_dict=False
    )
    answer = tokenizer(lesson.answer, add_special_tokens=False)["input_ids"][:longest]
    if lesson.complete and len(answer) < longest:
        answer = [*answer, tokenizer.eos_token_id]
    return prompt, answer
