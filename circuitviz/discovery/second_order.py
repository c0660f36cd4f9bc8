"""Scores to second order: what closing a gate gains, less what it costs where it should not matter.

With m_u the share of unit u that is ablated and everything else intact (m = 0), a unit scores

    score_u = -d removal / d m_u  -  price * F_u

where removal is that of `objective`, in nats per answer token, and F_u the diagonal Fisher
information of the gate on benign prompts: the mean over answer tokens of (d log p(y) / d m_u)^2
with y drawn from the model's own predictions.  To second order F_u / 2 is the KL divergence, per
token, that ablating the unit alone causes (its gradient vanishes at m = 0), so the score is the
saliency of Optimal Brain Damage (LeCun, Denker & Solla 1990, NIPS 2) with the Fisher information
in place of the Hessian, as in Theis et al. (2018, arXiv:1801.05787), and with what is gained on the
other side of the scales.  Heads and neurons are both counted in nats, so one price serves both.

The price is above 1/2 since units of a circuit cost more together than the sum of each alone.
Two passes over some prompts give every unit's score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.discovery.learner import LearnedScores, LearningStep, Watch, watch_nothing
from circuitviz.discovery.masks import UnitGroups
from circuitviz.discovery.objective import TrainingRows
from circuitviz.models.ablation import Ablation
from circuitviz.models.answer import AnswerRows, answer_log_probs, batches
from circuitviz.models.gates import Gates
from circuitviz.models.model import GatedModel
from circuitviz.units import Granularity


@dataclass(frozen=True)
class SecondOrderLearner:
    """Score every unit by its gain on attacks and its cost on benign prompts.

    Attributes:
        removal_rows: Attack prompts.
        utility_rows: Benign prompts, and of a backdoor prompts without the trigger.
        price: Nats of gain that a nat of Fisher information has to be worth.
    """

    removal_rows: int = 96
    utility_rows: int = 96
    price: float = 100.0

    def learn(
        self,
        model: GatedModel,
        behaviour: Behaviour,
        *,
        ablation: Ablation,
        seed: int,
        granularity: Granularity = "both",
        watch: Watch = watch_nothing,
    ) -> LearnedScores:
        """Score every unit from training prompts only; see `Learner`."""
        data = TrainingRows.of(model, behaviour)
        values = self.score(model, data, ablation=ablation, seed=seed, watch=watch)
        groups = UnitGroups(model.space, granularity)
        return LearnedScores(groups.spread(groups.total(values)))

    def score(
        self,
        model: GatedModel,
        data: TrainingRows,
        *,
        ablation: Ablation,
        seed: int,
        watch: Watch = watch_nothing,
    ) -> np.ndarray:
        """Scores [units] in nats per answer token, from rows that are tokenised already."""
        generator = torch.Generator().manual_seed(seed)
        removal = _some(data.removal, self.removal_rows, generator)
        utility = _some(data.utility, self.utility_rows, generator)
        steps = _passes(model, data.rows, removal) + _passes(model, data.rows, utility)
        done, found = 0, np.zeros(len(model.space))

        def tell() -> None:
            nonlocal done
            done += 1
            watch(LearningStep(done, {}, found.astype(np.float32), steps))

        for slope, tokens in _slopes(model, data, removal, ablation, data.costs, tell):
            found = found - slope.sum(0).double().cpu().numpy() / tokens
        drawn = _Drawn(generator)
        for slope, tokens in _slopes(model, data, utility, ablation, drawn, tell):
            found = found - self.price * slope.square().sum(0).double().cpu().numpy() / tokens
        return found


# From log-probabilities [tokens d_vocab], the given tokens [tokens] and which of these decide
# [tokens], what is differentiated [tokens], nats.
Value = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class _Drawn:
    """Log-probabilities of tokens drawn from the model's own predictions."""

    generator: torch.Generator

    def __call__(self, log_probs: Tensor, targets: Tensor, decides: Tensor) -> Tensor:
        chances = log_probs.detach().exp().cpu()
        drawn = torch.multinomial(chances, 1, generator=self.generator)
        return log_probs.gather(-1, drawn.to(log_probs.device))[:, 0]


def _slopes(
    model: GatedModel,
    data: TrainingRows,
    picks: Sequence[int],
    ablation: Ablation,
    value: Value,
    tell: Callable[[], None],
) -> Iterator[tuple[Tensor, int]]:
    """For each batch d value / d m [rows units] at m = 0, and the answer tokens of all picks."""
    indices = torch.tensor(list(picks))
    chosen = data.rows.take(indices)
    total = int(chosen.predicts.sum())
    for prompts in _pieces(model, chosen):
        batch = chosen.take(prompts)
        mask = torch.zeros((len(batch), len(model.space)), device=model.device, requires_grad=True)
        gates = Gates.from_flat(1 - mask, model.space, ablation.reference(batch.keys.tolist()))
        log_probs = answer_log_probs(model, batch, gates)
        targets = batch.targets[batch.predicts].to(log_probs.device)
        decides = data.decides(indices[prompts]).to(log_probs.device)
        (slope,) = torch.autograd.grad(value(log_probs, targets, decides).sum(), mask)
        yield slope, total
        tell()


def _pieces(model: GatedModel, rows: AnswerRows) -> list[Tensor]:
    """Rows of like length, as many as are run forwards and backwards together."""
    return [
        piece
        for _, prompts in batches(rows, np.ones((1, len(rows)), dtype=bool))
        for piece in prompts.split(model.micro_batch or len(prompts))
    ]


def _passes(model: GatedModel, rows: AnswerRows, picks: Sequence[int]) -> int:
    """How many passes some rows take."""
    return len(_pieces(model, rows.take(torch.tensor(list(picks)))))


def _some(among: range, count: int, generator: torch.Generator) -> list[int]:
    """At most so many of some rows, drawn at random."""
    order = torch.randperm(len(among), generator=generator)[:count]
    return [among[int(place)] for place in order]
