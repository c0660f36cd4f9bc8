"""Nested straight-through masks: one run ranks the units for circuits of every size.

Every row of a batch ablates its own number of units k: the k units with the highest scores, under
a little noise.  Forward takes exactly those; backward sees p_u = sigmoid((s_u - tau_k) / T), with
tau_k such that sum_u p_u = k.  tau_k is differentiated implicitly:
d tau = sum_u w_u d s_u with w_u proportional to p_u (1 - p_u).

Most sizes are drawn where the behaviour just begins to vanish, the others log-uniformly.  The
noise is logistic with scale T, as in the concrete distribution (arXiv:1611.00712): without it a
head that helps only together with others is never tried, and the ranking depends on the seed.

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
from circuitviz.models.answer import AnswerRows, Teacher, encode_answers, intact_log_probs
from circuitviz.models.gates import Gates
from circuitviz.models.model import GatedModel
from circuitviz.units import Granularity, UnitSpace

__all__ = ["NestedLearner", "soft_top_k"]

BISECTIONS = 40

# The edge is where a removal succeeds this often; sizes near it lie within this factor.
EDGE_SUCCESS, EDGE_WIDTH = 0.3, 2.0
# How far one batch moves the edge, in log size.
EDGE_STEP = 0.25


@dataclass(frozen=True)
class NestedLearner:
    """Learn one ranking with straight-through masks of random size.

    Attributes:
        steps: Optimiser steps.
        learning_rate: Of Adam on the scores, decayed to 0 along a cosine.
        damping: Adam's epsilon, in units of the mean gradient: units with far smaller gradients
            move in proportion, not at full speed.
        removal_rows: Attack prompts a step.
        utility_rows: Benign prompts a step.
        utility_weight: Weight of KL(intact || ablated) on benign prompts.
        largest: Largest size drawn, as a share of all units.
        focus: Share of the sizes drawn where the behaviour just vanishes.
        temperatures: T at the first and the last step.
        noise: Scale of the noise on the scores, in units of T.
        budget: `joint`: one size for both kinds.  `separate`: a size each for heads and neurons.
    """

    steps: int = 100
    learning_rate: float = 0.2
    damping: float = 1.0
    removal_rows: int = 24
    utility_rows: int = 24
    utility_weight: float = 3.0
    largest: float = 0.1
    focus: float = 0.75
    temperatures: tuple[float, float] = (1.0, 0.1)
    noise: float = 0.5
    budget: str = "joint"

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
        generator = torch.Generator().manual_seed(seed)
        data = _TrainingRows.of(model, behaviour)
        scores = torch.zeros(len(model.space), requires_grad=True)
        optimiser = torch.optim.Adam(
            [scores], lr=self.learning_rate, betas=(0.9, 0.99), eps=self.damping
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        removal = _shuffled(len(data.removal), self.removal_rows, generator)
        utility = _shuffled(len(data.utility), self.utility_rows, generator)
        masks = _Masks(self, model.space, generator)
        curve: dict[str, list[float]] = {"step": [], "removal": [], "utility": []}
        for step in range(self.steps):
            picks = torch.cat([next(removal), len(data.removal) + next(utility)])
            sizes = masks.draw_sizes(len(picks))
            mask = masks.build(scores, sizes, self._temperature(step))
            outcome = _run(model, data, picks, mask, ablation)
            masks.follow(sizes[: self.removal_rows], outcome.removed)
            loss = outcome.removal + self.utility_weight * outcome.utility
            (gradient,) = torch.autograd.grad(loss, scores)
            scores.grad = gradient / gradient.abs().mean().clamp_min(1e-12)
            optimiser.step()
            schedule.step()
            values = {"removal": outcome.removal.item(), "utility": outcome.utility.item()}
            for name, value in {"step": step + 1.0, **values}.items():
                curve[name].append(value)
            found = scores.detach().numpy().copy()
            watch(LearningStep(step + 1, values, found, self.steps, masks.edge))
        return LearnedScores(scores.detach().numpy().copy(), curve)

    def _temperature(self, step: int) -> float:
        start, end = self.temperatures
        return start * (end / start) ** (step / max(1, self.steps - 1))


class _Masks:
    """Draws a size and builds a mask for every row."""

    def __init__(
        self, learner: NestedLearner, space: UnitSpace, generator: torch.Generator
    ) -> None:
        self._learner = learner
        self._space = space
        self._generator = generator
        self._most = max(4.0, learner.largest * len(space))
        self._edge = math.log(self._most)

    @property
    def edge(self) -> float | None:
        """The size where removals begin to succeed; only one size for both kinds has one."""
        return math.exp(self._edge) if self._learner.budget == "joint" else None

    def draw_sizes(self, rows: int) -> Tensor:
        """Whole sizes [rows]: some over the whole range, the others around the edge."""
        wide = self._log_uniform(self._most, rows)
        spread = (self._uniform(rows) * 2 - 1) * math.log(EDGE_WIDTH)
        narrow = (self._edge + spread).exp().round().clamp(1, self._most)
        return torch.where(self._uniform(rows) < self._learner.focus, narrow, wide)

    def follow(self, sizes: Tensor, removed: Tensor) -> None:
        """Move the edge down where removals near it work, up where they fail.

        A staircase as in Levitt (1971), "Transformed up-down methods in psychoacoustics",
        JASA 49:467.
        """
        near = (sizes.log() - self._edge).abs() <= math.log(EDGE_WIDTH)
        if near.any():
            self._edge += EDGE_STEP * (EDGE_SUCCESS - float(removed[near].float().mean()))
            self._edge = min(max(self._edge, 0.0), math.log(self._most))

    def build(self, scores: Tensor, sizes: Tensor, temperature: float) -> Tensor:
        """Masks [rows units], 1 for ablated units, differentiable in the scores."""
        shape = (len(sizes), len(scores))
        draw = torch.rand(shape, generator=self._generator).clamp(1e-6, 1 - 1e-6)
        noisy = scores + self._learner.noise * temperature * draw.logit()
        if self._learner.budget == "joint":
            return straight_through(noisy, sizes, temperature)
        parts = []
        for part in noisy.split([self._space.total_heads, self._space.total_neurons], dim=1):
            units = part.shape[1]
            # A kind with few units, as heads, needs a larger share of them.
            most = max(self._learner.largest * units, min(16.0, units / 2))
            own = self._log_uniform(most, len(sizes)).clamp(max=units - 1)
            # A quarter of the rows leaves this kind alone, so that each kind also learns to do
            # without the other.
            busy = self._uniform(len(sizes)) > 0.25
            parts.append(straight_through(part, own, temperature) * busy[:, None])
        return torch.cat(parts, dim=1)

    def _log_uniform(self, most: float, rows: int) -> Tensor:
        return (self._uniform(rows) * math.log(max(1.0, most))).exp().round().clamp_min(1)

    def _uniform(self, rows: int) -> Tensor:
        return torch.rand(rows, generator=self._generator)


@dataclass(frozen=True)
class _Outcome:
    """Losses of one batch, nats per answer token, and which removal rows succeeded."""

    removal: Tensor
    utility: Tensor
    removed: Tensor


def _run(
    model: GatedModel, data: _TrainingRows, picks: Tensor, mask: Tensor, ablation: Ablation
) -> _Outcome:
    rows = data.rows.take(picks)
    gates = Gates.from_flat(1 - mask, model.space, ablation.reference(rows.keys.tolist()))
    log_probs = model.logits(rows.tokens, gates)[rows.predicts].log_softmax(-1)
    owner = rows.predicts.nonzero()[:, 0]
    is_attack = picks < len(data.removal)
    attack = is_attack[owner]
    targets = rows.targets[rows.predicts][attack]
    right = log_probs[attack].gather(-1, targets[:, None])
    wrong = (log_probs[attack].argmax(-1) != targets).float()
    mistakes = torch.zeros(len(picks)).index_add_(0, owner[attack], wrong)
    teacher = torch.cat([data.teacher[int(pick)] for pick in picks[~is_attack]])
    kl = (teacher.exp() * (teacher - log_probs[~attack])).sum(-1)
    return _Outcome(-right.mean(), kl.mean(), mistakes[is_attack] == 0)


def straight_through(scores: Tensor, sizes: Tensor, temperature: float) -> Tensor:
    """Masks [rows units]: forward the `sizes` best units exactly, backward `soft_top_k`."""
    soft = soft_top_k(scores, sizes, temperature)
    order = scores.detach().argsort(dim=1, descending=True, stable=True)
    places = torch.arange(scores.shape[1]).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places)
    hard = (rank < sizes[:, None]).float()
    return hard + soft - soft.detach()


def soft_top_k(scores: Tensor, sizes: Tensor, temperature: float) -> Tensor:
    """p [rows units] = sigmoid((s - tau) / T) with each row's sum equal to its size.

    Args:
        scores: [rows units].
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
        utility: Indices of benign prompts, and of a backdoor's prompts without the trigger.
        teacher: Log-probabilities [answer tokens, d_vocab] of the intact model, by utility row.
    """

    rows: AnswerRows
    removal: range
    utility: range
    teacher: Teacher

    @classmethod
    def of(cls, model: GatedModel, behaviour: Behaviour) -> _TrainingRows:
        attack = behaviour.prompts("train", "attack")
        # A backdoor's own prompts must stay right without the trigger.
        kept = [prompt for prompt in attack if prompt.triggered is not None]
        kept += behaviour.prompts("train", "benign")
        rows = encode_answers(
            model,
            [prompt.asked for prompt in attack] + [prompt.text for prompt in kept],
            [_after(prompt) for prompt in attack] + [prompt.answer for prompt in kept],
        )
        utility = range(len(attack), len(rows))
        picks = torch.tensor(list(utility))
        found = intact_log_probs(model, rows.take(picks))
        teacher = {int(pick): found[place] for place, pick in enumerate(picks)}
        return cls(rows, range(len(attack)), utility, teacher)


def _after(prompt: Prompt) -> str:
    return prompt.after if prompt.after is not None else prompt.answer
