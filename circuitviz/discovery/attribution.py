"""Integrated gradients: what each unit contributes on the way from intact to half ablated.

With m the mask (0 keeps, 1 ablates) and F(m) = -removal(m) - weight * utility(m), a unit scores

    score_u = end * integral over a in [0, 1] of dF/dm_u at m = a * end * 1      (midpoint rule)

so that scores add up to F(end * 1) - F(0), the completeness axiom of Sundararajan et al. (2017,
arXiv:1703.01365, eq. 1 and prop. 1).  High scores are units whose ablation removes the behaviour.
The path follows the mask, not the activations of another prompt, and ends half-way: near its end,
with everything ablated, the model says nothing sensible, and the gradients there are the largest
of all and would drown the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.discovery.learner import LearnedScores, LearningStep, Watch, watch_nothing
from circuitviz.discovery.masks import UnitGroups
from circuitviz.discovery.objective import TrainingRows, learn_from
from circuitviz.models.ablation import Ablation
from circuitviz.models.model import GatedModel
from circuitviz.units import Granularity


@dataclass(frozen=True)
class AttributionLearner:
    """Score every unit by integrated gradients of the objective.

    Attributes:
        points: Points of the path.
        end: How far everything is ablated at its end, in (0, 1].
        removal_rows: Attack prompts at each point, the same at every point.
        utility_rows: Benign prompts at each point.
        utility_weight: Weight of KL(intact || ablated) on benign prompts.
    """

    points: int = 8
    end: float = 0.5
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
            share = self.end * (point + 0.5) / self.points
            level = torch.full((1, len(units)), share, device=model.device, requires_grad=True)
            mask = units.expand(level)
            slope, outcome = learn_from(
                model, data, picks, mask, ablation, utility_weight=self.utility_weight
            )
            (gradient,) = torch.autograd.grad(mask, level, slope)
            total -= self.end * gradient[0].cpu() / self.points
            values = outcome.values()
            for name, value in {"step": point + 1.0, **values}.items():
                curve[name].append(value)
            scores = units.spread(total.numpy())
            watch(LearningStep(point + 1, values, scores, self.points))
        return LearnedScores(scores, curve)
