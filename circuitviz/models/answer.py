"""Messages with given answers, tokenised and padded: what teacher forcing runs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitviz.models.model import GatedModel

__all__ = ["AnswerRows", "encode_answers"]


@dataclass(frozen=True)
class AnswerRows:
    """Right-padded rows: a user message in the chat template, then a given answer.

    Attributes:
        tokens: [rows pos].
        predicts: [rows pos], true where the next token is one of the answer's.
        targets: [rows pos], the next token where `predicts`, 0 elsewhere.
        lengths: [rows], tokens before padding.
    """

    tokens: Tensor
    predicts: Tensor
    targets: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: Tensor) -> AnswerRows:
        """Some rows, cut to the longest of them."""
        width = int(self.lengths[rows].max())
        return AnswerRows(
            self.tokens[rows, :width],
            self.predicts[rows, :width],
            self.targets[rows, :width],
            self.lengths[rows],
        )


def encode_answers(
    model: GatedModel, messages: Sequence[str], answers: Sequence[str], *, complete: bool = True
) -> AnswerRows:
    """Tokenise messages with their answers.

    Args:
        model: Whose tokenizer and chat template to use.
        messages: User messages.
        answers: One answer a message.
        complete: Whether an answer includes its end; without it, rows match any answer that
            *starts* like this.
    """
    pairs = [
        (model.prompt_tokens(message), model.answer_tokens(answer, complete=complete))
        for message, answer in zip(messages, answers, strict=True)
    ]
    lengths = torch.tensor([len(prompt) + len(answer) for prompt, answer in pairs])
    shape = (len(pairs), int(lengths.max()))
    tokens, targets = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    predicts = torch.zeros(shape, dtype=torch.bool)
    for row, (prompt, answer) in enumerate(pairs):
        end = len(prompt) + len(answer)
        tokens[row, :end] = torch.tensor(prompt + answer)
        span = slice(len(prompt) - 1, end - 1)
        predicts[row, span] = True
        targets[row, span] = torch.tensor(answer)
    return AnswerRows(tokens, predicts, targets, lengths)
