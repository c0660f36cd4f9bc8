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
    focus: float = 0.75
    damping: float = 1e-8
    noise: float = 1.0
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
        optimiser = torch.optim.Adam([scores], lr=self.learning_rate, betas=(0.9, 0.99), eps=self.damping)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        removal = _shuffled(len(data.removal), self.removal_rows, generator)
        utility = _shuffled(len(data.utility), self.utility_rows, generator)
        sizes = _Sizes(self.largest * len(model.space), self.focus, generator)
        curve: dict[str, list[float]] = {"step": [], "removal": [], "utility": []}
        for step in range(self.steps):
            picks = torch.cat([next(removal), len(data.removal) + next(utility)])
            drawn = sizes.draw(len(picks))
            mask = self._masks(scores, model.space, drawn, step, generator)
            losses, done = self._losses(model, data, picks, mask, ablation)
            sizes.learn(drawn[: self.removal_rows], done)
            optimiser.zero_grad()
            (losses["removal"] + self.utility_weight * losses["utility"]).backward()
            # In units of the mean gradient, so that `damping` means the same for every model.
            assert scores.grad is not None
            scores.grad /= scores.grad.abs().mean().clamp_min(1e-12)
            optimiser.step()
            schedule.step()
            values = {name: float(loss.detach()) for name, loss in losses.items()}
            for name, value in {"step": step + 1.0, **values}.items():
                curve[name].append(value)
            watch(LearningStep(step + 1, values, scores.detach().numpy().copy()))
        return LearnedScores(scores.detach().numpy().copy(), curve)

    def _masks(
        self, scores: Tensor, space: UnitSpace, sizes: Tensor, step: int, generator: torch.Generator
    ) -> Tensor:
        """Masks [rows units], 1 for ablated units, differentiable in the scores."""
        start, end = self.temperatures
        temperature = start * (end / start) ** (step / max(1, self.steps - 1))
        if self.budget == "joint":
            noise = torch.rand(len(sizes), len(scores), generator=generator).clamp(1e-6, 1 - 1e-6).logit()
            return straight_through(scores + self.noise * temperature * noise, sizes, temperature)
        heads, neurons = scores.split([space.total_heads, space.total_neurons])
        parts, rows = [], len(sizes)
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
    ) -> tuple[dict[str, Tensor], Tensor]:
        rows = data.rows.take(picks)
        gates = Gates.from_flat(1 - mask, model.space, ablation.reference(picks.tolist()))
        logits = model.logits(rows.tokens, gates)[rows.predicts]
        log_probs = logits.log_softmax(-1)
        owner = picks[rows.predicts.nonzero()[:, 0]]
        attack = owner < len(data.removal)
        targets = rows.targets[rows.predicts]
        right = log_probs[attack].gather(-1, targets[attack, None])
        teacher = torch.cat(
            [data.teacher[int(pick)] for pick in picks if pick >= len(data.removal)]
        )
        kl = (teacher.exp() * (teacher - log_probs[~attack])).sum(-1)
        wrong = log_probs[attack].detach().argmax(-1) != targets[attack]
        failed = torch.zeros(len(data.rows)).index_add_(0, owner[attack], wrong.float())
        done = failed[picks[: self.removal_rows]] == 0
        return {"removal": -right.mean(), "utility": kl.mean()}, done


def straight_through(scores: Tensor, sizes: Tensor, temperature: float) -> Tensor:
    """Masks [rows units]: forward the `sizes` best units exactly, backward `soft_top_k`."""
    if scores.ndim == 1: scores = scores.expand(len(sizes), -1)
    soft = soft_top_k(scores, sizes, temperature)
    order = scores.detach().argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(scores.shape[1]).expand_as(order))
    hard = (rank < sizes[:, None]).float()
    return hard + soft - soft.detach()


def soft_top_k(scores: Tensor, sizes: Tensor, temperature: float) -> Tensor:
    """p [rows units] = sigmoid((s - tau) / T) with each row's sum equal to its size.

    Args:
        scores: [units].
        sizes: [rows], each above 0 and below the number of units.
        temperature: T.
    """
    tau = _threshold(scores.detach(), sizes, temperature)
    fixed = torch.sigmoid((scores.detach() - tau[:, None]) / temperature)
    weight = fixed * (1 - fixed)
    weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-12)
    # The same value as tau, with the gradient of the implicit function.
    tau = tau + (weight * (scores - scores.detach())).sum(1)
    return torch.sigmoid((scores - tau[:, None]) / temperature)


def _threshold(scores: Tensor, sizes: Tensor, temperature: float) -> Tensor:
    """tau [rows] by bisection."""
    margin = 40 * temperature
    low = torch.full(sizes.shape, float(scores.min()) - margin)
    high = torch.full(sizes.shape, float(scores.max()) + margin)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        total = torch.sigmoid((scores - middle[:, None]) / temperature).sum(1)
        low = torch.where(total > sizes, middle, low)
        high = torch.where(total > sizes, high, middle)
    return (low + high) / 2


class _Sizes:
    """Draws sizes: some over the whole range, the others where the behaviour just vanishes.

    That place is followed by a staircase (Levitt 1971, "Transformed up-down methods in
    psychoacoustics", JASA 49:467): down after a removal that worked, up after one that failed.
    """

    def __init__(self, most: float, focus: float, generator: torch.Generator) -> None:
        self._most = most
        self._focus = focus
        self._generator = generator
        self.edge = math.log(most)

    def draw(self, rows: int) -> Tensor:
        wide = _log_uniform(self._most, rows, self._generator)
        spread = (torch.rand(rows, generator=self._generator) - 0.5) * 2 * math.log(SPREAD)
        narrow = (self.edge + spread).exp().round().clamp(1, self._most)
        return torch.where(torch.rand(rows, generator=self._generator) < self._focus, narrow, wide)

    def learn(self, sizes: Tensor, done: Tensor) -> None:
        near = (sizes.log() - self.edge).abs() <= math.log(SPREAD)
        if near.any():
            self.edge += STAIR * (TOLERATED - float(done[near].float().mean()))
            self.edge = min(max(self.edge, 0.0), math.log(self._most))


SPREAD, STAIR, TOLERATED = 2.0, 0.25, 0.3


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
