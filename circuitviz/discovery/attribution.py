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

from collections.abc import Iterator
from dataclasses import dataclass

from circuitviz.discovery.learner import LearningStep, LearningTask, MaskLearner, Method


@Method(
    name="attribution",
    title="Integrated gradients",
    summary="A unit scores by the gradient of the objective along the straight path from the "
    "intact model to one with everything half ablated.",
    paper="Sundararajan, Taly & Yan (2017), Axiomatic attribution for deep networks, "
    "arXiv:1703.01365",
    order=5,
    has_losses=True,
    circuitkit="eap-ig",
)
@dataclass(frozen=True)
class AttributionLearner(MaskLearner):
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

    def search(self, task: LearningTask) -> Iterator[LearningStep]:
        """Score every unit, point by point of the path; see `MaskLearner`."""
        import torch

        units, objective = task.units, task.objective(self.utility_weight)
        batches = task.data.batches(self.removal_rows, self.utility_rows, task.generator())
        indices = next(batches)
        total = torch.zeros(len(units))
        for point in range(self.points):
            share = self.end * (point + 0.5) / self.points
            level = torch.full((1, len(units)), share, device=task.model.device, requires_grad=True)
            mask = units.expand(level)
            grad, outcome = objective.grad(indices, mask)
            (level_grad,) = torch.autograd.grad(mask, level, grad)
            total -= self.end * level_grad[0].cpu() / self.points
            scores = units.spread(total.numpy())
            yield LearningStep(point + 1, outcome.values(), scores, self.points)
