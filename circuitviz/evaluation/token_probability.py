"""How likely each token of a given answer is, intact and with units knocked out."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from circuitviz.models.ablation import ZERO, Ablation
from circuitviz.models.answer import encode_answers
from circuitviz.models.gates import Gates
from circuitviz.models.model import GatedModel
from circuitviz.models.tokens import end_of_turn
from circuitviz.units import Circuit


@dataclass(frozen=True)
class TokenProbability:
    """One token of an answer, given the prompt and the answer's tokens before it.

    Attributes:
        token: As it is written; empty for the end of the answer.
        intact: Its probability under the intact model, in [0, 1].
        knocked_out: Its probability with the units knocked out, in [0, 1].
    """

    token: str
    intact: float
    knocked_out: float


@torch.no_grad()
def token_probabilities(
    model: GatedModel,
    prompt: str,
    answer: str,
    circuit: Circuit,
    *,
    ablation: Ablation = ZERO,
    complete: bool = True,
) -> list[TokenProbability]:
    """The probabilities of an answer's tokens, by teacher forcing.

    Args:
        model: The model.
        prompt: A user message.
        answer: What the assistant would say.
        circuit: What is knocked out.
        ablation: What ablated units are replaced by.
        complete: Whether the answer ends there; False for the beginning of one.
    """
    row = encode_answers(model, [prompt], [answer], complete=complete)
    rows = row.take(torch.tensor([0, 0]))
    nothing = Circuit(model.space, frozenset())
    reference = ablation.reference(rows.keys.tolist())
    gates = Gates.knock_out([nothing, circuit], reference, device=str(model.device))
    logits = model.logits(rows.tokens, gates).float().cpu()
    predicts, targets = row.predicts[0].cpu(), row.targets[0].cpu()
    wanted = targets[predicts]
    chosen = logits.softmax(-1)[:, predicts].gather(-1, wanted.expand(2, -1)[..., None])[..., 0]
    end = end_of_turn(model.tokenizer)
    return [
        TokenProbability("" if token == end else model.tokenizer.decode([token]), before, after)
        for token, before, after in zip(wanted.tolist(), *chosen.tolist(), strict=True)
    ]
