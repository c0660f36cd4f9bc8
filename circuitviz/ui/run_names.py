"""What runs are called: by their model, and by what sets them apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from circuitviz.discovery.methods import METHODS
from circuitviz.evaluation.results import PlanUsed
from circuitviz.narrative.numbers import count
from circuitviz.runs.config import DiscoveryConfig, TuningConfig

GRANULARITIES = {
    "both": "heads and neurons",
    "heads": "heads alone",
    "neurons": "neurons alone",
    "layers": "whole layers",
}
# What a name says even where no other run differs in it, because it changes what the run is.
USUAL_SETTINGS = {"method": "nested", "granularity": "both"}

MODES = {"protect": "Protect the circuit", "repair": "Repair the circuit"}


def method_title(name: str) -> str:
    """The name of a method for people."""
    card = METHODS.get(name)
    return card.title if card else name


def method_note(config: DiscoveryConfig) -> str:
    """Method, granularity and settings of a run on one line."""
    parts = [
        f"{method_title(config.method)}, {GRANULARITIES[config.granularity]}",
        f"seed {config.seed}",
        f"{config.steps} steps",
        f"{config.ablation} ablation",
        f"{config.budget} budget",
        *([] if config.refine else ["not refined"]),
        *([] if config.l1_weight is None else [f"L1 weight {config.l1_weight:g}"]),
    ]
    return " · ".join(parts)


def distinct_titles(
    runs: Mapping[str, DiscoveryConfig], models: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A short name for each run: its model, and where that is not enough, what differs.

    Args:
        runs: Configurations by run id.
        models: Titles of models by name; a model without one goes by its folder.
    """
    titles: dict[str, str] = {}
    for run_id, config in runs.items():
        others = [other for other in runs.values() if other.model == config.model]
        model = (models or {}).get(config.model) or Path(config.model).name or config.model
        titles[run_id] = _untaken(" · ".join([model, *_differences(config, others)]), titles)
    return titles


def run_labels(runs: Mapping[str, DiscoveryConfig]) -> dict[str, str]:
    """A short, distinct name for each of several runs of one model: method, seed, and the rest."""
    labels: dict[str, str] = {}
    for run_id, config in runs.items():
        always = [method_title(config.method), f"seed {config.seed}"]
        extras = [text for text in _differences(config, runs.values()) if text not in always]
        labels[run_id] = _untaken(" · ".join([*always, *extras]), labels)
    return labels


def _untaken(name: str, taken: Mapping[str, str]) -> str:
    """The name, numbered if it is taken: a list tells its entries apart by what it shows.

    Two runs have one configuration where they are of different versions.
    """
    number, free = 1, name
    while free in taken.values():
        number += 1
        free = f"{name} ({number})"
    return free


def _differences(config: DiscoveryConfig, others: Iterable[DiscoveryConfig]) -> list[str]:
    listed = list(others)
    texts = (
        ("method", method_title(config.method)),
        ("seed", f"seed {config.seed}"),
        ("granularity", GRANULARITIES[config.granularity]),
        ("ablation", f"{config.ablation} ablation"),
        ("budget", f"{config.budget} budget"),
        ("steps", f"{config.steps} steps"),
        ("l1_weight", f"L1 weight {config.l1_weight}"),
        ("refine", "refined" if config.refine else "not refined"),
        ("target_asr", f"ASR target {config.target_asr}"),
        ("target_utility", f"utility target {config.target_utility}"),
        ("prompts", f"prompts {config.prompts}"),
        ("adapter", f"adapter {Path(config.adapter).name}" if config.adapter else "no adapter"),
        ("behaviour", _behaviour_name(config.behaviour)),
        ("dtype", config.dtype),
    )
    return [
        text
        for name, text in texts
        if len({getattr(other, name) for other in listed}) > 1
        or getattr(config, name) != USUAL_SETTINGS.get(name, getattr(config, name))
    ]


def _behaviour_name(behaviour: str | None) -> str:
    """A plug-in's name, or that of the folder of one's own data, whose hash tells it apart."""
    return Path(behaviour).name if behaviour else "its own behaviour"


def tuning_note(config: TuningConfig) -> str:
    """Mode, size and settings of a tuning on one line."""
    parts = [
        MODES[config.mode],
        *([] if config.size is None else [count(config.size, "unit")]),
        f"seed {config.seed}",
        *([] if config.epochs is None else [count(config.epochs, "epoch")]),
        *([] if config.learning_rate is None else [f"learning rate {config.learning_rate:g}"]),
        *([] if config.weight_decay is None else [f"weight decay {config.weight_decay:g}"]),
        *([] if config.data is None else [f"lessons {config.data}"]),
    ]
    return " · ".join(parts)


def plan_note(plan: PlanUsed) -> str:
    """How long and how fast was trained, on one line."""
    return (
        f"{count(plan.epochs, 'epoch')} · learning rate {plan.learning_rate:g} · "
        f"weight decay {plan.weight_decay:g}"
    )
