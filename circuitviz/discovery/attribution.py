"""Integrated gradients: what each unit contributes along the way from intact to all ablated.

With m the mask (0 keeps, 1 ablates) and F(m) = -removal(m) - weight * utility(m), a unit scores

    score_u = integral over a in [0, 1] of dF/dm_u at m = a * 1        (midpoint rule)

so that scores add up to F(all ablated) - F(intact), the completeness axiom of Sundararajan et al.
(2017, arXiv:1703.01365, eq. 1 and prop. 1).  High scores are units whose ablation removes the
behaviour.  Following the path, instead of taking the gradient at the intact model alone, is what
Hanna et al. (2024, arXiv:2403.17806) recommend for circuits: a model that is sure of its answer
has hardly any gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.discovery.grouping import UnitGroups
from circuitviz.discovery.learner import LearnedScores, LearningStep, Watch, watch_nothing
from circuitviz.discovery.objective import TrainingRows, measure_objective
from circuitviz.models.ablation import Ablation
from circuitviz.models.model import GatedModel
from circuitviz.units import Granularity

__all__ = ["AttributionLearner"]


@dataclass(frozen=True)
class AttributionLearner:
    """Score every unit by integrated gradients of the objective.

    Attributes:
        points: Points of the path.
        removal_rows: Attack prompts at each point, the same at every point.
        utility_rows: Benign prompts at each point.
        utility_weight: Weight of KL(intact || ablated) on benign prompts.
    """

    points: int = 8
    removal_rows: int = 48
    utility_rows: int = 48
    utility_weight: float = 3.0

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
        data = TrainingRows.of(model, behaviour)
        picks = next(data.picks(self.removal_rows, self.utility_rows, generator))
        units = UnitGroups(model.space, granularity)
        total = torch.zeros(len(units))
        scores = units.spread(total.numpy())
        curve: dict[str, list[float]] = {"step": [], "removal": [], "utility": []}
        for point in range(self.points):
            level = torch.full((1, len(units)), (point + 0.5) / self.points, requires_grad=True)
            outcome = measure_objective(model, data, picks, units.expand(level), ablation)
            (gradient,) = torch.autograd.grad(outcome.loss(self.utility_weight), level)
            total -= gradient[0] / self.points
            values = outcome.values()
            for name, value in {"step": point + 1.0, **values}.items():
                curve[name].append(value)
            scores = units.spread(total.numpy())
            watch(LearningStep(point + 1, values, scores, self.points))
        return LearnedScores(scores, curve)
