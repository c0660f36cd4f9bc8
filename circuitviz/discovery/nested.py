"""Nested straight-through masks: one run ranks the units for circuits of every size.

Every row of a batch ablates its own number of units k: the k units with the highest scores, under
a little noise, with straight-through gradients (`straight_through`).  So the scores are trained as
a ranking: whatever size is cut off its top is a circuit that was tried.

Most sizes are drawn where the behaviour just begins to vanish, the others log-uniformly.  The
noise is logistic with scale T, as in the concrete distribution (arXiv:1611.00712): without it a
head that helps only together with others is never tried, and the ranking depends on the seed.

The objective (`Objective`) is SafeSeek's, arXiv:2603.23268, on true heads and neurons.

Where a model has many more units than a circuit can have, masks are learned among the best
candidates by their scores to second order (`SecondOrderLearner`) and start from these: the noise of
some ten thousand units that do nothing would drown what the others learn, and most steps would go
into ruling them out one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from circuitviz.discovery.learner import LearningStep, LearningTask, MaskLearner, Method
from circuitviz.discovery.second_order import SecondOrderLearner

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Generator, Tensor

    from circuitviz.discovery.training.masks import UnitGroups

# Models with more units than this are searched among candidates.
MANY_UNITS = 8192

# At the critical size a removal succeeds this often; sizes near it lie within this factor.
CRITICAL_SUCCESS, CRITICAL_WIDTH = 0.3, 2.0
# How far one batch moves the critical size, in log size.
CRITICAL_STEP = 0.25
# The largest size drawn among candidates.
MAX_DRAWN = 768


@Method(
    name="nested",
    title="Nested masks",
    summary="Masks of every size are learned at once, so one run ranks the units for circuits "
    "of every size; in large models among the best candidates by scores to second order.",
    paper="Objective: Yu et al. (2026), SafeSeek, arXiv:2603.23268; gradients: Bengio, Léonard "
    "& Courville (2013), Estimating or propagating gradients through stochastic neurons, "
    "arXiv:1308.3432",
    order=1,
    steps_help="Optimiser steps of mask learning.",
    has_losses=True,
)
@dataclass(frozen=True)
class NestedLearner(MaskLearner):
    """Learn one ranking with straight-through masks of random size.

    Attributes:
        steps: Optimiser steps.
        learning_rate: Of Adam on the scores, decayed to 0 along a cosine.
        damping: Adam's epsilon, in units of the mean gradient: units with far smaller gradients
            move in proportion, not at full speed.
        removal_rows: Attack prompts a step.
        utility_rows: Benign prompts a step.
        utility_weight: Weight of KL(intact || ablated) on benign prompts.
        largest: Largest size drawn, as a share of all units (or of all blocks, with layers).
        focus: Share of the sizes drawn where the behaviour just vanishes.
        temperatures: T at the first and the last step.
        noise: Scale of the noise on the scores, in units of T.
        budget: `joint`: one size for both kinds.  `separate`: a size each for heads and neurons.
        candidates: In a model of many units, how many of them masks are learned among.
        candidate_heads: How many of these are heads, at least.
        candidate_rows: There, attack prompts and benign prompts a step.
        candidate_start: How far above the last candidate the first one starts, in units of T.
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
    candidates: int = 2048
    candidate_heads: int = 32
    candidate_rows: int = 8
    candidate_start: float = 4.0

    def search(self, task: LearningTask) -> Iterator[LearningStep]:
        """Score every unit, in a model of many among the best candidates; see `MaskLearner`."""
        if len(task.model.space) > MANY_UNITS and task.granularity != "layers":
            return self._among_candidates(task)
        return self.train(task)

    def _among_candidates(self, task: LearningTask) -> Iterator[LearningStep]:
        values, passes = np.zeros(len(task.model.space)), 0
        for done, total, values in SecondOrderLearner().passes(task):
            # Two of these passes take about as long as a step.
            passes = total // 2
            scores = task.units.spread(task.units.total(values))
            yield LearningStep(done // 2, {}, scores, passes + self.steps)
        chosen = self._chosen(task.units, values)
        start = np.empty(int(chosen.sum()))
        # By the logarithm of the rank: the first few stand apart, the many at the end do not.
        rank = np.log1p(np.arange(len(start))) / np.log1p(len(start))
        start[np.argsort(-values[chosen])] = self.candidate_start * (0.5 - rank)
        # All others come after the candidates, in the order of their values.
        others = np.flatnonzero(~chosen)[np.argsort(-values[~chosen], kind="stable")]
        below = np.zeros(len(chosen), dtype=np.float32)
        below[others] = np.arange(len(others)) / len(others)
        few = replace(self, removal_rows=self.candidate_rows, utility_rows=self.candidate_rows)
        for step in few.train(task, among=chosen, start=start):
            scores = np.where(chosen, step.scores, step.scores[chosen].min() - 1 - below)
            steps = passes + self.steps
            yield replace(step, step=passes + step.step, steps=steps, scores=scores)

    def _chosen(self, units: UnitGroups, values: np.ndarray) -> np.ndarray:
        """Boolean [units]: the candidates."""
        ranked = np.where(units.index >= 0, values, -np.inf)
        chosen = np.zeros(len(ranked), dtype=bool)
        heads = units.space.total_heads
        chosen[np.argsort(-ranked[:heads])[: self.candidate_heads]] = True
        left = np.argsort(np.where(chosen, np.inf, -ranked), kind="stable")
        chosen[left[: self.candidates - int(chosen.sum())]] = True
        return chosen & (units.index >= 0)

    def train(
        self,
        task: LearningTask,
        *,
        among: Bool[np.ndarray, " units"] | None = None,
        start: Float[np.ndarray, " groups"] | None = None,
    ) -> Iterator[LearningStep]:
        """Learn the masks.

        Args:
            task: What to score, and for what.
            among: The only units to score; None is all.
            start: Scores to start from; None is 0.
        """
        import torch

        from circuitviz.discovery.training.masks import UnitGroups, mask_generator

        generator, device = task.generator(), task.model.device
        objective = task.objective(self.utility_weight)
        units = UnitGroups(task.model.space, task.granularity, among)
        first = np.zeros(len(units)) if start is None else start
        scores = torch.tensor(first, dtype=torch.float32, device=device, requires_grad=True)
        optimiser = torch.optim.Adam(
            [scores], lr=self.learning_rate, betas=(0.9, 0.99), eps=self.damping
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        batches = task.data.batches(self.removal_rows, self.utility_rows, generator)
        masks = _Masks(self, units, mask_generator(device, generator))
        for step in range(self.steps):
            indices = next(batches)
            sizes = masks.draw_sizes(len(indices))
            mask = units.expand(masks.build(scores, sizes, self._temperature(step)))
            grad, outcome = objective.grad(indices, mask)
            masks.follow(sizes[: self.removal_rows].cpu(), outcome.removed)
            (gradient,) = torch.autograd.grad(mask, scores, grad)
            scores.grad = gradient / gradient.abs().mean().clamp_min(1e-12)
            optimiser.step()
            schedule.step()
            now = units.spread(scores.detach().cpu().numpy())
            yield LearningStep(step + 1, outcome.values(), now, self.steps, masks.critical_size)

    def _temperature(self, step: int) -> float:
        start, end = self.temperatures
        return start * (end / start) ** (step / max(1, self.steps - 1))


class _Masks:
    """Draws a size and builds a mask for every row."""

    def __init__(self, learner: NestedLearner, units: UnitGroups, generator: Generator) -> None:
        self._learner = learner
        self._space = units.space
        self._generator = generator
        # With units of one kind only, one size is all there is.
        self._joint = learner.budget == "joint" or units.granularity != "both"
        if units.among is not None:
            self._largest = min(float(MAX_DRAWN), len(units) / 2)
        elif units.granularity == "both":
            self._largest = max(4.0, learner.largest * len(units))
        else:
            self._largest = self._largest_of(len(units))
        self._log_critical = math.log(self._largest)

    @property
    def critical_size(self) -> float | None:
        """The size where removals begin to succeed; only one size for both kinds has one."""
        return math.exp(self._log_critical) if self._joint else None

    def draw_sizes(self, rows: int) -> Tensor:
        """Whole sizes [rows]: some over the whole range, the others around the critical one."""
        wide = self._log_uniform(self._largest, rows)
        spread = (self._uniform(rows) * 2 - 1) * math.log(CRITICAL_WIDTH)
        narrow = (self._log_critical + spread).exp().round().clamp(1, self._largest)
        return narrow.where(self._uniform(rows) < self._learner.focus, wide)

    def follow(self, sizes: Tensor, removed: Tensor) -> None:
        """Lower the critical size where removals near it work, raise it where they fail.

        A staircase as in Levitt (1971), "Transformed up-down methods in psychoacoustics",
        JASA 49:467.
        """
        near = (sizes.log() - self._log_critical).abs() <= math.log(CRITICAL_WIDTH)
        if near.any():
            missing = CRITICAL_SUCCESS - float(removed[near].float().mean())
            moved = self._log_critical + CRITICAL_STEP * missing
            self._log_critical = min(max(moved, 0.0), math.log(self._largest))

    def build(self, scores: Tensor, sizes: Tensor, temperature: float) -> Tensor:
        """Masks [rows units], 1 for ablated units, differentiable in the scores."""
        import torch

        from circuitviz.discovery.training.masks import logistic, straight_through

        noise = logistic((len(sizes), len(scores)), self._generator)
        noisy = scores + self._learner.noise * temperature * noise
        if self._joint:
            return straight_through(noisy, sizes, temperature)
        parts = []
        for part in noisy.split([self._space.total_heads, self._space.total_neurons], dim=1):
            units = part.shape[1]
            own = self._log_uniform(self._largest_of(units), len(sizes)).clamp(max=units - 1)
            # A quarter of the rows leaves this kind alone, so that each kind also learns to do
            # without the other.
            busy = self._uniform(len(sizes)) > 0.25
            parts.append(straight_through(part, own, temperature) * busy[:, None])
        return torch.cat(parts, dim=1)

    def _largest_of(self, units: int) -> float:
        """The largest size of one kind: few units, as heads, need a larger share of them."""
        return max(self._learner.largest * units, min(16.0, units / 2))

    def _log_uniform(self, largest: float, rows: int) -> Tensor:
        return (self._uniform(rows) * math.log(max(1.0, largest))).exp().round().clamp_min(1)

    def _uniform(self, rows: int) -> Tensor:
        import torch

        return torch.rand(rows, generator=self._generator, device=self._generator.device)
