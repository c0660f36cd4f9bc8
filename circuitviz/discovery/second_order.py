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

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from circuitviz.discovery.learner import LearningStep, LearningTask, MaskLearner, Method

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Generator, Tensor


@Method(
    name="second-order",
    title="Scores to second order",
    summary="A unit scores by what closing its gate gains on attacks, less a price on what "
    "that costs on benign prompts, both from gradients at the intact model; masks of large "
    "models start from these.",
    paper="LeCun, Denker & Solla (1990), Optimal brain damage, NIPS 2; Theis et al. (2018), "
    "Faster gaze prediction with dense networks and Fisher pruning, arXiv:1801.05787",
    order=4,
)
@dataclass(frozen=True)
class SecondOrderLearner(MaskLearner):
    """Score every unit by its gain on attacks and its cost on benign prompts.

    Attributes:
        removal_rows: Attack prompts.
        utility_rows: Benign prompts, and of a backdoor prompts without the trigger.
        price: Nats of gain that a nat of Fisher information has to be worth.
    """

    removal_rows: int = 96
    utility_rows: int = 96
    price: float = 100.0

    def search(self, task: LearningTask) -> Iterator[LearningStep]:
        """Score every unit, pass by pass; a group has the sum of its units; see `MaskLearner`."""
        for done, passes, values in self.passes(task):
            yield LearningStep(done, {}, task.units.spread(task.units.total(values)), passes)

    def passes(self, task: LearningTask) -> Iterator[tuple[int, int, Float[np.ndarray, " units"]]]:
        """Passes done, passes in all, and what the scores are by then, nats per answer token."""
        data, generator = task.data, task.generator()
        attacks = _some(data.removal, self.removal_rows, generator)
        others = _some(data.utility, self.utility_rows, generator)
        passes = [(attacks, batch) for batch in _batches(task, attacks)]
        passes += [(others, batch) for batch in _batches(task, others)]
        drawn = partial(_drawn_log_probs, generator)
        values = np.zeros(len(task.model.space))
        for done, (rows, batch) in enumerate(passes, 1):
            if rows is attacks:
                weight, parts = 1.0, _gate_grad(task, rows[batch], data.costs)
            else:
                weight, parts = self.price, _gate_grad(task, rows[batch], drawn).square()
            tokens = int(data.rows.predicts[rows].sum())
            values = values - weight * parts.sum(0).double().cpu().numpy() / tokens
            yield done, len(passes), values


def _gate_grad(
    task: LearningTask,
    indices: Tensor,
    value: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Tensor:
    """d value / d m [rows units] at m = 0, of a value [tokens] as `TrainingRows.costs` is one."""
    import torch

    from circuitviz.models.answer import answer_log_probs
    from circuitviz.models.gates import Gates

    model, rows = task.model, task.data.rows.take(indices)
    mask = torch.zeros((len(rows), len(model.space)), device=model.device, requires_grad=True)
    gates = Gates.from_flat(1 - mask, model.space, task.ablation.reference(rows.keys.tolist()))
    log_probs = answer_log_probs(model, rows, gates)
    targets = rows.targets[rows.predicts].to(log_probs.device)
    decides = task.data.decides(indices).to(log_probs.device)
    return torch.autograd.grad(value(log_probs, targets, decides).sum(), mask)[0]


def _drawn_log_probs(
    generator: Generator, log_probs: Tensor, targets: Tensor, decides: Tensor
) -> Tensor:
    """Log-probabilities [tokens] of tokens drawn from the model's own predictions."""
    drawn = log_probs.detach().exp().cpu().multinomial(1, generator=generator)
    return log_probs.gather(-1, drawn.to(log_probs.device))[:, 0]


def _batches(task: LearningTask, indices: Tensor) -> list[Tensor]:
    """Rows of like length, as many as are run forwards and backwards together."""
    from circuitviz.models.answer import batches

    everything = np.ones((1, len(indices)), dtype=bool)
    return [
        part
        for _, batch in batches(task.data.rows.take(indices), everything)
        for part in batch.split(task.model.micro_batch or len(batch))
    ]


def _some(rows: range, count: int, generator: Generator) -> Tensor:
    """At most so many of some rows, drawn at random."""
    import torch

    return rows.start + torch.randperm(len(rows), generator=generator)[:count]
