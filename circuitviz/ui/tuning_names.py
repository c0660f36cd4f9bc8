"""What tunings are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from circuitviz.plots.text import count
from circuitviz.runs.tuning_config import TuningConfig

__all__ = ["MODES", "plan_note", "tuning_note"]

MODES = {"protect": "Protect the circuit", "repair": "Repair the circuit"}


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


def plan_note(plan: Mapping[str, Any] | None) -> str:
    """How long and how fast was trained, on one line; empty where a tuning does not say."""
    if not plan:
        return ""
    return (
        f"{count(int(plan['epochs']), 'epoch')} · learning rate {plan['learning_rate']:g} · "
        f"weight decay {plan['weight_decay']:g}"
    )
