"""Score given answers under many circuits at once, by teacher forcing.

A greedy answer equals a target exactly when every target token is the most likely one given the
target tokens before it, and starts with it when the last of them or one that begins like it is.  So
one forward pass scores a prompt, and one batch holds many circuits and prompts, each row under its
own gates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuitviz.models.ablation import ZERO, Ablation
from circuitviz.models.answer import (
    AnswerRows,
    Teacher,
    answer_log_probs,
    batches,
    encode_answers,
)
from circuitviz.models.gates import Gates
from circuitviz.models.model import GatedModel
from circuitviz.models.tokens import end_of_turn
from circuitviz.progress import OnProgress, unwatched
from circuitviz.units import Circuit


@dataclass(frozen=True)
class AnswerScores:
    """What the model makes of given answers.

    Attributes:
        match: Greedy decoding gives this answer.
        right: How many of the answer's tokens are the likeliest ones, each after those before it;
            0 for pairs that were not wanted.
        log_prob: Mean log-probability per answer token, nats.
        kl: Mean KL(intact || ablated) per answer token, nats; NaN where it was not asked for.
    """

    match: Bool[np.ndarray, "circuits prompts"]
    right: Int[np.ndarray, "circuits prompts"]
    log_prob: Float[np.ndarray, "circuits prompts"]
    kl: Float[np.ndarray, "circuits prompts"]


@torch.no_grad()
def score_answers(
    model: GatedModel,
    rows: AnswerRows,
    ablated: Bool[np.ndarray, "circuits units"],
    *,
    ablation: Ablation = ZERO,
    teacher: Teacher | None = None,
    wanted: Bool[np.ndarray, "circuits prompts"] | None = None,
    lead: float = 0.0,
    on_progress: OnProgress = unwatched,
) -> AnswerScores:
    """Score every answer with every set of units ablated.

    Args:
        model: The model.
        rows: Messages with answers, [prompts pos].
        ablated: True for ablated units, in flat order.
        ablation: What ablated units are replaced by.
        teacher: What the intact model thinks of these rows, to compute KL against.
        wanted: Pairs to score; the others count as no match.
        lead: Nats by which each token of an answer has to lead all others to match; 0 is greedy
            decoding, below 0 near misses match too.
        on_progress: Told the share that is done before each batch; may raise to stop.
    """
    shape = (len(ablated), len(rows))
    match, log_prob = np.zeros(shape, dtype=bool), np.zeros(shape)
    tokens_right = np.zeros(shape, dtype=int)
    kl = np.full(shape, np.nan)
    gates = torch.from_numpy(1.0 - ablated.astype(np.float32))
    pairs = np.ones(shape, dtype=bool) if wanted is None else wanted
    # The teacher knows what the model thinks with nothing ablated.
    told = ~ablated.any(1, keepdims=True) & (teacher is not None)
    jobs = [*batches(rows, pairs & told), *batches(rows, pairs & ~told)]
    for done, (circuits, prompts) in enumerate(jobs):
        on_progress(done / len(jobs))
        batch = rows.take(prompts)
        reference = ablation.reference(batch.keys.tolist())
        kinds = circuits.unique(return_inverse=True)[1]
        row_gates = Gates.from_flat(gates[circuits], model.space, reference, kinds)
        where = (circuits.numpy(), prompts.numpy())
        intact = teacher and teacher.log_probs(prompts.tolist()).to(model.device)
        log_probs = intact
        if log_probs is None or ablated[where[0]].any():
            log_probs = answer_log_probs(model, batch, row_gates)
        targets = batch.targets[batch.predicts].to(log_probs.device)
        owner = batch.predicts.nonzero()[:, 0]
        right = _leads(log_probs, targets, lead)
        for last in (owner.bincount().cumsum(0) - 1)[batch.opens].tolist():
            likewise = model.continuations.of(int(targets[last]))
            if len(likewise) > 1:
                right[last] = _one_leads(log_probs[last], likewise, lead)
        match[where] = _mean(right.float(), owner, len(prompts)).numpy() > 1 - 1e-6
        tokens_right[where] = owner.bincount(right.cpu(), minlength=len(prompts)).long().numpy()
        chosen = log_probs.gather(-1, targets[:, None])[:, 0]
        log_prob[where] = _mean(chosen, owner, len(prompts)).numpy()
        if intact is not None:
            token_kl = (intact.exp() * (intact - log_probs)).sum(-1)
            kl[where] = _mean(token_kl, owner, len(prompts)).numpy()
    return AnswerScores(match, tokens_right, log_prob, kl)


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


def _leads(
    log_probs: Float[Tensor, "tokens d_vocab"], targets: Int[Tensor, " tokens"], lead: float
) -> Bool[Tensor, " tokens"]:
    """Whether the target is `lead` nats or more ahead of every other token."""
    if lead == 0:
        return log_probs.argmax(-1) == targets
    own = log_probs.gather(-1, targets[:, None])
    others = log_probs.scatter(-1, targets[:, None], -torch.inf).amax(-1, keepdim=True)
    return (own - others >= lead)[:, 0]


def _one_leads(
    log_probs: Float[Tensor, " d_vocab"], tokens: Int[Tensor, " some"], lead: float
) -> bool:
    """Whether one of the tokens is `lead` nats or more ahead of all others."""
    among = torch.zeros_like(log_probs, dtype=torch.bool)
    # A tokenizer may have more tokens than the model gives logits for.
    among[tokens[tokens < len(among)].to(among.device)] = True
    if lead == 0:
        return bool(among[log_probs.argmax()])
    return bool(log_probs[among].max() - log_probs[~among].max() >= lead)


def _mean(values: Tensor, owner: Tensor, rows: int) -> Tensor:
    """Mean of per-token values over the tokens of each row, on the CPU."""
    total = torch.zeros(rows).index_add_(0, owner, values.float().cpu())
    return total / torch.bincount(owner, minlength=rows)
