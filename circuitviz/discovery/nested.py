"""Nested straight-through masks: one run ranks the units for circuits of every size.

Every row of a batch ablates its own number of units k, drawn log-uniformly: the k units with the
highest scores.  Forward takes exactly those; backward sees p_u = sigmoid((s_u - tau_k) / T), with
tau_k such that sum_u p_u = k.  tau_k is differentiated implicitly:
d tau = sum_u w_u d s_u with w_u proportional to p_u (1 - p_u).

The objective (what must vanish and what must stay) is SafeSeek's, arXiv:2603.23268, on true heads
and neurons; straight-through gradients are Bengio et al., arXiv:1308.3432.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt
from circuitviz.discovery.learner import LearnedScores, LearningStep, Watch, watch_nothing
from circuitviz.models.ablation import Ablation
from circuitviz.models.answer import AnswerRows, encode_answers
from circuitviz.models.gates import Gates
from circuitviz.models.model import GatedModel
from circuitviz.units import UnitSpace

__all__ = ["NestedLearner", "soft_top_k"]

BISECTIONS = 40


@dataclass(frozen=True)
class NestedLearner:
    """Learn one ranking with straight-through masks of random size.

    Attributes:
        steps: Optimiser steps.
        learning_rate: Of Adam on the scores, decayed to 0 along a cosine.
        removal_rows: Attack prompts a step.
        utility_rows: Benign prompts a step.
        utility_weight: Weight of KL(intact || ablated) on benign prompts.
        largest: Largest size drawn, as a share of all units.
        temperatures: T at the first and the last step.
        budget: `joint`: one size for both kinds.  `separate`: a size each for heads and neurons.
    """

    steps: int = 100
    learning_rate: float = 0.2
    removal_rows: int = 24
    utility_rows: int = 24
    utility_weight: float = 1.0
    largest: float = 0.1
    temperatures: tuple[float, float] = (1.0, 0.1)
    budget: str = "joint"

    def learn(
        self,
        model: GatedModel,
        behaviour: Behaviour,
        *,
        ablation: Ablation,
        seed: int,
        watch: Watch = watch_nothing,
    ) -> LearnedScores:
        """Score every unit from training prompts only; see `Learner`."""
        generator = torch.Generator().manual_seed(seed)
        data = _TrainingRows.of(model, behaviour)
        # Noise only breaks ties; it is far below one step of Adam.
        noise = torch.randn(len(model.space), generator=generator)
        scores = (1e-3 * noise).requires_grad_()
        optimiser = torch.optim.Adam([scores], lr=self.learning_rate, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        removal = _shuffled(len(data.removal), self.removal_rows, generator)
        utility = _shuffled(len(data.utility), self.utility_rows, generator)
        curve: dict[str, list[float]] = {"step": [], "removal": [], "utility": []}
        for step in range(self.steps):
            picks = torch.cat([next(removal), len(data.removal) + next(utility)])
            mask = self._masks(scores, model.space, len(picks), step, generator)
            losses = self._losses(model, data, picks, mask, ablation)
            optimiser.zero_grad()
            (losses["removal"] + self.utility_weight * losses["utility"]).backward()
            optimiser.step()
            schedule.step()
            values = {name: float(loss.detach()) for name, loss in losses.items()}
            for name, value in {"step": step + 1.0, **values}.items():
                curve[name].append(value)
            watch(LearningStep(step + 1, values, scores.detach().numpy().copy()))
        return LearnedScores(scores.detach().numpy().copy(), curve)

    def _masks(
        self, scores: Tensor, space: UnitSpace, rows: int, step: int, generator: torch.Generator
    ) -> Tensor:
        """Masks [rows units], 1 for ablated units, differentiable in the scores."""
        start, end = self.temperatures
        temperature = start * (end / start) ** (step / max(1, self.steps - 1))
        if self.budget == "joint":
            sizes = _log_uniform(self.largest * len(space), rows, generator)
            return straight_through(scores, sizes, temperature)
        heads, neurons = scores.split([space.total_heads, space.total_neurons])
        parts = []
        for part in (heads, neurons):
            most = max(self.largest * len(part), min(4.0, len(part)))
            sizes = _log_uniform(most, rows, generator)
            # A quarter of the rows leaves this kind alone, so that each kind also learns to do
            # without the other.
            idle = torch.rand(rows, generator=generator) < 0.25
            parts.append(straight_through(part, sizes, temperature) * ~idle[:, None])
        return torch.cat(parts, dim=1)

    def _losses(
        self,
        model: GatedModel,
        data: _TrainingRows,
        picks: Tensor,
        mask: Tensor,
        ablation: Ablation,
    ) -> dict[str, Tensor]:
        rows = data.rows.take(picks)
        gates = Gates.from_flat(1 - mask, model.space, ablation.reference(picks.tolist()))
        logits = model.logits(rows.tokens, gates)[rows.predicts]
        log_probs = logits.log_softmax(-1)
        owner = picks[rows.predicts.nonzero()[:, 0]]
        attack = owner < len(data.removal)
        targets = rows.targets[rows.predicts]
        right = log_probs[attack].gather(-1, targets[attack, None])
        teacher = torch.cat([data.teacher[int(pick)] for pick in picks if pick >= len(data.removal)])
        kl = (teacher.exp() * (teacher - log_probs[~attack])).sum(-1)
        return {"removal": -right.mean(), "utility": kl.mean()}


def straight_through(scores: Tensor, sizes: Tensor, temperature: float) -> Tensor:
    """Masks [rows units]: forward the `sizes` best units exactly, backward `soft_top_k`."""
    soft = soft_top_k(scores, sizes, temperature)
    order = scores.detach().argsort(descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    hard = (rank[None] < sizes[:, None]).float()
    return hard + soft - soft.detach()


def soft_top_k(scores: Tensor, sizes: Tensor, temperature: float) -> Tensor:
    """p [rows units] = sigmoid((s - tau) / T) with each row's sum equal to its size.

    Args:
        scores: [units].
        sizes: [rows], each above 0 and below the number of units.
        temperature: T.
    """
    tau = _threshold(scores.detach(), sizes, temperature)
    fixed = torch.sigmoid((scores.detach()[None] - tau[:, None]) / temperature)
    weight = fixed * (1 - fixed)
    weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-12)
    # The same value as tau, with the gradient of the implicit function.
    tau = tau + (weight * (scores - scores.detach())).sum(1)
    return torch.sigmoid((scores[None] - tau[:, None]) / temperature)


def _threshold(scores: Tensor, sizes: Tensor, temperature: float) -> Tensor:
    """tau [rows] by bisection."""
    margin = 40 * temperature
    low = torch.full(sizes.shape, float(scores.min()) - margin)
    high = torch.full(sizes.shape, float(scores.max()) + margin)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        total = torch.sigmoid((scores[None] - middle[:, None]) / temperature).sum(1)
        low = torch.where(total > sizes, middle, low)
        high = torch.where(total > sizes, high, middle)
    return (low + high) / 2


def _log_uniform(most: float, rows: int, generator: torch.Generator) -> Tensor:
    """Whole sizes [rows] from 1 to `most`, uniform in their logarithm."""
    drawn = torch.rand(rows, generator=generator) * math.log(max(1.0, most))
    return drawn.exp().round().clamp_min(1)


def _shuffled(n: int, rows: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless picks of `rows` of n, each used once before any is used again."""
    queue = torch.empty(0, dtype=torch.long)
    while True:
        while len(queue) < rows:
            queue = torch.cat([queue, torch.randperm(n, generator=generator)])
        yield queue[:rows]
        queue = queue[rows:]


@dataclass(frozen=True)
class _TrainingRows:
    """Training prompts, tokenised: removal rows first, then utility rows.

    Attributes:
        rows: All of them.
        removal: Indices of attack prompts with the answer expected after knocking out.
        utility: Indices of benign prompts with the intact model's answer.
        teacher: Log-probabilities [answer tokens, d_vocab] of the intact model, by utility row.
    """

    rows: AnswerRows
    removal: range
    utility: range
    teacher: dict[int, Tensor]

    @classmethod
    def of(cls, model: GatedModel, behaviour: Behaviour) -> _TrainingRows:
        attack = behaviour.prompts("train", "attack")
        benign = behaviour.prompts("train", "benign")
        rows = encode_answers(
            model,
            [prompt.asked for prompt in attack] + [prompt.text for prompt in benign],
            [_after(prompt) for prompt in attack] + [prompt.answer for prompt in benign],
        )
        utility = range(len(attack), len(rows))
        return cls(rows, range(len(attack)), utility, _teacher(model, rows, utility))


def _after(prompt: Prompt) -> str:
    return prompt.after if prompt.after is not None else prompt.answer


@torch.no_grad()
def _teacher(model: GatedModel, rows: AnswerRows, utility: range) -> dict[int, Tensor]:
    found: dict[int, Tensor] = {}
    for picks in torch.tensor(list(utility)).split(128):
        batch = rows.take(picks)
        log_probs = model.logits(batch.tokens)[batch.predicts].log_softmax(-1)
        counts = batch.predicts.sum(1).tolist()
        found.update(zip(picks.tolist(), log_probs.split(counts), strict=True))
    return found


