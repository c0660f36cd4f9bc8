"""The methods a discovery can use, by name: what each is, and how to make one.

Nothing heavy is imported here until a learner is made, so that forms and command lines can list
the methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuitviz.errors import ConfigError

if TYPE_CHECKING:
    from circuitviz.discovery.learner import Learner


@dataclass(frozen=True)
class MethodCard:
    """What people read about a method.

    Attributes:
        title: Name for people.
        summary: One sentence: what a unit's score means.
        paper: `Authors (year), title, where`.
        seeded: Whether another seed can give other scores.
        reads_answers: Whether scores depend on what prompts should be answered.
        has_steps: Whether masks are learned, and how many optimiser steps that takes is a setting.
    """

    title: str
    summary: str
    paper: str
    seeded: bool = True
    reads_answers: bool = True
    has_steps: bool = True


# In the order they are shown.
METHODS: dict[str, MethodCard] = {
    "nested": MethodCard(
        "Nested masks",
        "Masks of every size are learned at once, so one run ranks the units for circuits of "
        "every size; in large models among the best candidates by scores to second order.",
        "Objective: Yu et al. (2026), SafeSeek, arXiv:2603.23268; gradients: Bengio, Léonard & "
        "Courville (2013), Estimating or propagating gradients through stochastic neurons, "
        "arXiv:1308.3432",
    ),
    "l1": MethodCard(
        "Masks with an L1 weight",
        "One mask is learned under a price per unit; a unit scores by the highest price at which "
        "the mask still takes it, one run for each price.",
        "Yu et al. (2026), SafeSeek: universal attribution of safety circuits in language models, "
        "arXiv:2603.23268",
    ),
    "l1-path": MethodCard(
        "Path of the L1 weight",
        "One mask is learned while the price per unit rises; a unit scores by how late it leaves "
        "the mask.",
        "Friedman, Hastie & Tibshirani (2010), Regularization paths for generalized linear models "
        "via coordinate descent, Journal of Statistical Software 33(1)",
    ),
    "second-order": MethodCard(
        "Scores to second order",
        "A unit scores by what closing its gate gains on attacks, less a price on what that costs "
        "on benign prompts, both from gradients at the intact model; masks of large models start "
        "from these.",
        "LeCun, Denker & Solla (1990), Optimal brain damage, NIPS 2; Theis et al. (2018), Faster "
        "gaze prediction with dense networks and Fisher pruning, arXiv:1801.05787",
        has_steps=False,
    ),
    "attribution": MethodCard(
        "Integrated gradients",
        "A unit scores by the gradient of the objective along the straight path from the intact "
        "model to one with everything half ablated.",
        "Sundararajan, Taly & Yan (2017), Axiomatic attribution for deep networks, "
        "arXiv:1703.01365",
        has_steps=False,
    ),
    "single-unit": MethodCard(
        "One unit at a time",
        "Every unit is ablated alone; it scores by how far that moves the answer from the "
        "attack's target to the right one.",
        "Wang, Variengien, Conmy, Shlegeris & Steinhardt (2022), Interpretability in the wild: a "
        "circuit for indirect object identification in GPT-2 small, arXiv:2211.00593",
        has_steps=False,
    ),
    "activation": MethodCard(
        "Difference of activations",
        "A unit scores by how differently it fires with and without what sets the behaviour off, "
        "in units of its spread; nothing is ablated.",
        "Arditi et al. (2024), Refusal in language models is mediated by a single direction, "
        "arXiv:2406.11717; statistic: Welch (1947), Biometrika 34:28",
        seeded=False,
        reads_answers=False,
        has_steps=False,
    ),
    "random": MethodCard(
        "Random order",
        "Scores are drawn at random: the floor that every method has to beat.",
        "None; drawn from a uniform distribution",
        reads_answers=False,
        has_steps=False,
    ),
}


def make_learner(
    method: str, *, steps: int = 100, budget: str = "joint", l1_weight: float | None = None
) -> Learner:
    """The learner behind a name; settings that a method does not have are ignored.

    Args:
        method: A key of `METHODS`.
        steps: Optimiser steps of a mask learning run.
        budget: `joint` or `separate`; see `NestedLearner`.
        l1_weight: Price of a mask that takes every unit; None tries a ladder of prices.

    Raises:
        ConfigError: No method has this name.
    """
    if method not in METHODS:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    # Imported here: a learner brings torch along, which takes seconds.
    from circuitviz.discovery.activation import ActivationLearner
    from circuitviz.discovery.attribution import AttributionLearner
    from circuitviz.discovery.l1 import L1Learner
    from circuitviz.discovery.l1_path import L1PathLearner
    from circuitviz.discovery.nested import NestedLearner
    from circuitviz.discovery.penalised import MaskTraining
    from circuitviz.discovery.random_ranking import RandomLearner
    from circuitviz.discovery.second_order import SecondOrderLearner
    from circuitviz.discovery.single_unit import SingleUnitLearner

    makers: dict[str, Callable[[], Learner]] = {
        "nested": lambda: NestedLearner(steps=steps, budget=budget),
        "l1": lambda: L1Learner(l1_weight, MaskTraining(steps=steps)),
        "l1-path": lambda: L1PathLearner(training=MaskTraining(steps=steps, decay=False)),
        "second-order": SecondOrderLearner,
        "attribution": AttributionLearner,
        "single-unit": SingleUnitLearner,
        "activation": ActivationLearner,
        "random": RandomLearner,
    }
    return makers[method]()
