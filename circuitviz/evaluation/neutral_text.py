"""A neutral text, whose perplexity says whether a model still reads and writes English.

The text was written for the project: forty paragraphs of encyclopedic, narrative and journalistic
prose (`neutral_text.txt`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch

from circuitviz.evaluation.scoring import score_answers
from circuitviz.models.ablation import ZERO, Ablation, message_key
from circuitviz.models.answer import AnswerRows
from circuitviz.models.model import GatedModel
from circuitviz.units import Circuit

FILE = Path(__file__).with_suffix(".txt")


@cache
def neutral_paragraphs() -> tuple[str, ...]:
    """The paragraphs."""
    return tuple(FILE.read_text(encoding="utf-8").splitlines())


def neutral_perplexity(
    model: GatedModel, circuits: Sequence[Circuit], *, ablation: Ablation = ZERO
) -> list[float]:
    """Perplexity of the text with each circuit knocked out: e to the mean nats of a token.

    Every paragraph stands alone, without a chat template; its first token is given.
    """
    rows = _rows(model, neutral_paragraphs())
    ablated = np.stack([circuit.mask() for circuit in circuits])
    log_prob = score_answers(model, rows, ablated, ablation=ablation).log_prob
    tokens = rows.predicts.sum(1).numpy()
    return np.exp(-(log_prob * tokens).sum(1) / tokens.sum()).tolist()


def _rows(model: GatedModel, paragraphs: Sequence[str]) -> AnswerRows:
    """The paragraphs as rows in which every token but the first is predicted."""
    encoded = [
        model.tokenizer(paragraph, add_special_tokens=False)["input_ids"]
        for paragraph in paragraphs
    ]
    lengths = torch.tensor([len(tokens) for tokens in encoded])
    shape = (len(encoded), int(lengths.max()))
    tokens, targets = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    predicts = torch.zeros(shape, dtype=torch.bool)
    for row, text in enumerate(encoded):
        tokens[row, : len(text)] = torch.tensor(text)
        targets[row, : len(text) - 1] = torch.tensor(text[1:])
        predicts[row, : len(text) - 1] = True
    keys = torch.tensor([message_key(paragraph) for paragraph in paragraphs])
    return AnswerRows(tokens, predicts, targets, lengths, keys, torch.zeros(len(encoded)).bool())
