"""Nested straight-through masks: one run ranks the units for circuits of every size.

Every row of a batch ablates its own number of units k: the k units with the highest scores, under
a little noise, with straight-through gradients (`straight_through`).  So the scores are trained as
a ranking: whatever size is cut off its top is a circuit that was tried.

Most sizes are drawn where the behaviour just begins to vanish, the others log-uniformly.  The
noise is logistic with scale T, as in the concrete distribution (arXiv:1611.00712): without it a
head that helps only together with others is never tried, and the ranking depends on the seed.

The objective (`measure_objective`) is SafeSeek's, arXiv:2603.23268, on true heads and neurons.

Where a model has many more units than a circuit can have, masks are learned among the best
candidates by their scores to second order (`SecondOrderLearner`) and start from these: the noise of
some ten thousand units that do nothing would drown what the others learn, and most steps would go
into ruling them out one by one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.discovery.learner import LearnedScores, LearningStep, Watch, watch_nothing
from circuitviz.discovery.masks import UnitGroups, mask_generator, straight_through
from circuitviz.discovery.objective import TrainingRows, learn_from
from circuitviz.discovery.second_order import SecondOrderLearner
from circuitviz.models.ablation import Ablation
from circuitviz.models.model import GatedModel
from circuitviz.units import Granularity

# Models with more units than this are searched among candidates.
MANY_UNITS = 8192

# The edge is where a removal succeeds this often; sizes near it lie within this factor.
EDGE_SUCCESS, EDGE_WIDTH = 0.3, 2.0
# The largest size drawn among candidates.
MOST_DRAWN = 768
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
        if len(model.space) > MANY_UNITS and granularity != "layers":
            return self._among_candidates(model, data, ablation, seed, granularity, watch)
        return self.train(
            model, data, ablation=ablation, seed=seed, granularity=granularity, watch=watch
        )

    def _among_candidates(
        self,
        model: GatedModel,
        data: TrainingRows,
        ablation: Ablation,
        seed: int,
        granularity: Granularity,
        watch: Watch,
    ) -> LearnedScores:
        passes = 0

        def count(step: LearningStep) -> None:
            nonlocal passes
            # Two of these passes take about as long as a step.
            passes = step.steps // 2
            watch(replace(step, step=step.step // 2, steps=passes + self.steps))

        def follow(step: LearningStep) -> None:
            watch(replace(step, step=passes + step.step, steps=passes + step.steps))

        values = SecondOrderLearner().score(model, data, ablation=ablation, seed=seed, watch=count)
        chosen = self._chosen(UnitGroups(model.space, granularity), values)
        order = np.argsort(-values[chosen])
        start = np.empty(len(order))
        # By the logarithm of the place: the first few stand apart, the many at the end do not.
        place = np.log1p(np.arange(len(order))) / np.log1p(len(order))
        start[order] = self.candidate_start * (0.5 - place)
        few = replace(self, removal_rows=self.candidate_rows, utility_rows=self.candidate_rows)
        learned = few.train(
            model,
            data,
            ablation=ablation,
            seed=seed,
            granularity=granularity,
            watch=follow,
            among=chosen,
            start=start,
        )
        return replace(learned, scores=_above(learned.scores, chosen, values))

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
        model: GatedModel,
        data: TrainingRows,
        *,
        ablation: Ablation,
        seed: int,
        granularity: Granularity = "both",
        watch: Watch = watch_nothing,
        among: np.ndarray | None = None,
        start: np.ndarray | None = None,
    ) -> LearnedScores:
        """Score every unit from rows that are tokenised already; see `Learner`.

        Args:
            model: Whose units to score.
            data: Training rows.
            ablation: What an ablated unit is replaced by.
            seed: Of everything random.
            granularity: What a circuit may be made of.
            watch: Told after every step; may raise to stop.
            among: Boolean [units]: the only units to score; None is all.
            start: Scores [groups] to start from; None is 0.
        """
        generator = torch.Generator().manual_seed(seed)
        units = UnitGroups(model.space, granularity, among)
        scores = torch.zeros(len(units), device=model.device)
        if start is not None:
            scores += torch.from_numpy(start).to(scores)
        scores.requires_grad_()
        optimiser = torch.optim.Adam(
            [scores], lr=self.learning_rate, betas=(0.9, 0.99), eps=self.damping
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        batches = data.picks(self.removal_rows, self.utility_rows, generator)
        masks = _Masks(self, units, mask_generator(model.device, generator))
        curve: dict[str, list[float]] = {"step": [], "removal": [], "utility": []}
        for step in range(self.steps):
            picks = next(batches)
            sizes = masks.draw_sizes(len(picks))
            mask = units.expand(masks.build(scores, sizes, self._temperature(step)))
            slope, outcome = learn_from(
                model, data, picks, mask, ablation, utility_weight=self.utility_weight
            )
            masks.follow(sizes[: self.removal_rows].cpu(), outcome.removed)
            (gradient,) = torch.autograd.grad(mask, scores, slope)
            scores.grad = gradient / gradient.abs().mean().clamp_min(1e-12)
            optimiser.step()
            schedule.step()
            values = outcome.values()
            for name, value in {"step": step + 1.0, **values}.items():
                curve[name].append(value)
            found = units.spread(scores.detach().cpu().numpy())
            watch(LearningStep(step + 1, values, found, self.steps, masks.edge))
        return LearnedScores(units.spread(scores.detach().cpu().numpy()), curve)

    def _temperature(self, step: int) -> float:
        start, end = self.temperatures
        return start * (end / start) ** (step / max(1, self.steps - 1))


def _above(scores: np.ndarray, chosen: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Learned scores of the candidates above all others, these in the order of their values."""
    found = scores.astype(np.float32).copy()
    others = np.flatnonzero(~chosen)
    place = np.empty(len(others), dtype=np.float32)
    place[np.argsort(-values[others], kind="stable")] = np.arange(len(others)) / len(others)
    found[others] = scores[chosen].min() - 1 - place
    return found


class _Masks:
    """Draws a size and builds a mask for every row."""

    def __init__(
        self, learner: NestedLearner, units: UnitGroups, generator: torch.Generator
    ) -> None:
        self._learner = learner
        self._space = units.space
        self._generator = generator
        # With units of one kind only, one size is all there is.
        self._joint = learner.budget == "joint" or units.granularity != "both"
        if units.among is not None:
            self._most = min(float(MOST_DRAWN), len(units) / 2)
        elif units.granularity == "both":
            self._most = max(4.0, learner.largest * len(units))
        else:
            self._most = self._most_of(len(units))
        self._edge = math.log(self._most)

    @property
    def edge(self) -> float | None:
        """The size where removals begin to succeed; only one size for both kinds has one."""
        return math.exp(self._edge) if self._joint else None

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
        draw = torch.rand(shape, generator=self._generator, device=self._generator.device).clamp(
            1e-6, 1 - 1e-6
        )
        noisy = scores + self._learner.noise * temperature * draw.logit()
        if self._joint:
            return straight_through(noisy, sizes, temperature)
        parts = []
        for part in noisy.split([self._space.total_heads, self._space.total_neurons], dim=1):
            units = part.shape[1]
            own = self._log_uniform(self._most_of(units), len(sizes)).clamp(max=units - 1)
            # A quarter of the rows leaves this kind alone, so that each kind also learns to do
            # without the other.
            busy = self._uniform(len(sizes)) > 0.25
            parts.append(straight_through(part, own, temperature) * busy[:, None])
        return torch.cat(parts, dim=1)

    def _most_of(self, units: int) -> float:
        """The largest size of one kind: few units, as heads, need a larger share of them."""
        return max(self._learner.largest * units, min(16.0, units / 2))

    def _log_uniform(self, most: float, rows: int) -> Tensor:
        return (self._uniform(rows) * math.log(max(1.0, most))).exp().round().clamp_min(1)

    def _uniform(self, rows: int) -> Tensor:
        return torch.rand(rows, generator=self._generator, device=self._generator.device)
