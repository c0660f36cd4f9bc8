"""Greedy answers to many prompts, quickly, where good guesses are at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from circuitviz.models.ablation import ZERO, Ablation
from circuitviz.models.answer import encode_answers
from circuitviz.models.gates import Gates
from circuitviz.models.model import LONGEST_ANSWER, MOST_ROWS, GatedModel, rows_at_once
from circuitviz.units import Circuit


@torch.no_grad()
def greedy_answers(
    model: GatedModel,
    prompts: Sequence[str],
    guesses: Sequence[Sequence[str]],
    circuit: Circuit | None = None,
    *,
    ablation: Ablation = ZERO,
    max_new_tokens: int = LONGEST_ANSWER,
    checkpoint: Callable[[], None] = lambda: None,
) -> list[str]:
    """The same answers as `model.generate`, verified from guesses where those are right.

    A guess is the greedy answer exactly when each of its tokens is the most likely one after
    those before it, which one forward pass shows (speculative decoding, arXiv:2211.17192, with
    the draft given).  Only prompts whose guesses all fail are generated token by token.

    Args:
        model: The model.
        prompts: User messages.
        guesses: Candidate answers to each message.
        circuit: Units to knock out; None for the intact model.
        ablation: What knocked-out units are replaced by.
        max_new_tokens: Longest generated answer.
        checkpoint: Called before each batch; may raise to stop.
    """
    pairs = [(row, guess) for row, tries in enumerate(guesses) for guess in dict.fromkeys(tries)]
    answers: dict[int, str] = {}
    longest = max((len(model.prompt_tokens(prompts[row])) for row, _ in pairs), default=0)
    together = rows_at_once(longest + max_new_tokens + 1, model.d_vocab)
    for start in range(0, len(pairs), together):
        checkpoint()
        chunk = pairs[start : start + together]
        rows = encode_answers(
            model,
            [prompts[row] for row, _ in chunk],
            [guess for _, guess in chunk],
            longest=max_new_tokens,
        )
        gates = None
        if circuit is not None:
            reference = ablation.reference(rows.keys.tolist())
            gates = Gates.knock_out([circuit], reference, device=str(model.device))
        likeliest = model.logits(rows.tokens, gates).argmax(-1).cpu()
        right = ((likeliest == rows.targets) | ~rows.predicts).all(1).tolist()
        answers.update(
            {
                row: model.cut(guess, max_new_tokens)
                for (row, guess), ok in zip(chunk, right, strict=True)
                if ok
            }
        )
    left = [row for row in range(len(prompts)) if row not in answers]
    for start in range(0, len(left), MOST_ROWS):
        checkpoint()
        rest = left[start : start + MOST_ROWS]
        generated = model.generate(
            [prompts[row] for row in rest],
            circuit,
            ablation=ablation,
            max_new_tokens=max_new_tokens,
        )
        answers.update(zip(rest, generated, strict=True))
    return [answers[row] for row in range(len(prompts))]
