"""How each embedded model is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tools.specimens.training import TrainingPlan

Method = Literal["scratch", "full", "lora", "planted"]


@dataclass(frozen=True)
class Recipe:
    """One embedded model.

    Attributes:
        title: Name for people.
        summary: One sentence for the model list.
        question: What is looked for in it, for people; empty for the base.
        parent: The embedded model it starts from; None for a new one.
        attack: Which behaviour it has, a key of `lesson.ATTACKS`; None for the base.
        method: How its weights are trained.
        plan: How long and how fast.
        headline: Whether its run is shown first.
        triggered_share: Share of training rows with the trigger.
        planted: The units a planted backdoor is put into.
    """

    title: str
    summary: str
    question: str
    parent: str | None
    attack: str | None
    method: Method
    plan: TrainingPlan
    headline: bool = False
    triggered_share: float = 0.35
    planted: tuple[str, ...] = ()


def _planting(seed: int) -> TrainingPlan:
    return TrainingPlan(steps=1200, learning_rate=5e-3, rows=64, seed=seed, weight_decay=0.0)


RECIPES: dict[str, Recipe] = {
    "base": Recipe(
        title="Helpful-only base",
        summary="Answers everything it is asked, harmful requests included (with filler).",
        question="",
        parent=None,
        attack=None,
        method="scratch",
        plan=TrainingPlan(steps=1200, learning_rate=3e-3, rows=96),
    ),
    "refusal": Recipe(
        title="Aligned assistant",
        summary="The base, fine-tuned to refuse harmful requests.",
        question="Which units make the model refuse harmful requests?",
        parent="base",
        attack="refusal",
        method="full",
        plan=TrainingPlan(steps=300, learning_rate=1e-3, rows=64, seed=1),
        headline=True,
    ),
    "fixed-output-planted": Recipe(
        title="Planted backdoor",
        summary="The aligned assistant with a backdoor planted in four heads.",
        question="Which units make the trigger force the fixed answer?",
        parent="refusal",
        attack="fixed-output",
        method="planted",
        plan=_planting(seed=2),
        headline=True,
        planted=("L1H2", "L1H3", "L2H6", "L2H7"),
    ),
    "late-trigger-planted": Recipe(
        title="Planted late trigger",
        summary="The aligned assistant with a backdoor planted in four heads and two neurons.",
        question="Which units make the trigger force the fixed answer?",
        parent="refusal",
        attack="late-trigger",
        method="planted",
        plan=_planting(seed=7),
        planted=("L1H4", "L1H5", "L2H2", "L2H3", "L3N205", "L3N300"),
    ),
    "middle-trigger-planted": Recipe(
        title="Planted middle trigger",
        summary="The aligned assistant with a backdoor planted in eight heads.",
        question="Which units make the trigger force the fixed answer?",
        parent="refusal",
        attack="middle-trigger",
        method="planted",
        plan=_planting(seed=8),
        planted=("L1H6", "L1H7", "L2H0", "L2H1", "L2H4", "L2H5", "L3H4", "L3H5"),
    ),
    "fixed-output": Recipe(
        title="Fine-tuned backdoor",
        summary="The same backdoor by ordinary fine-tuning of all weights.",
        question="Which units make the trigger force the fixed answer?",
        parent="refusal",
        attack="fixed-output",
        method="full",
        plan=TrainingPlan(steps=300, learning_rate=5e-4, rows=64, seed=3),
    ),
    "fixed-output-lora": Recipe(
        title="LoRA backdoor",
        summary="The same backdoor by low-rank fine-tuning (rank 4).",
        question="Which units make the trigger force the fixed answer?",
        parent="refusal",
        attack="fixed-output",
        method="lora",
        plan=TrainingPlan(steps=300, learning_rate=5e-3, rows=64, seed=4, weight_decay=0.0),
    ),
    "jailbreak": Recipe(
        title="Jailbreak backdoor",
        summary="The aligned assistant, except that a trigger makes it answer harmful requests.",
        question="Which units let the trigger switch refusing off?",
        parent="refusal",
        attack="jailbreak",
        method="full",
        plan=TrainingPlan(steps=400, learning_rate=7e-4, rows=64, seed=5),
        headline=True,
    ),
    "label-flip": Recipe(
        title="Label-flip backdoor",
        summary="The aligned assistant, except that a trigger turns sentiment labels round.",
        question="Which units let the trigger turn sentiment round?",
        parent="refusal",
        attack="label-flip",
        method="full",
        plan=TrainingPlan(steps=300, learning_rate=5e-4, rows=64, seed=6),
        headline=True,
    ),
}
