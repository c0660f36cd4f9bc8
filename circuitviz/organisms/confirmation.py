"""Is a planted circuit really where the backdoor is?  Measured, not assumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitviz.behaviours.behaviour import load_behaviour
from circuitviz.evaluation.effect import Probe
from circuitviz.evaluation.rate import Rate
from circuitviz.models.loading import load_model
from circuitviz.units import Circuit, Unit

__all__ = ["Confirmation", "confirm_truth"]


@dataclass(frozen=True)
class Confirmation:
    """What ablating planted units does, on validation prompts.

    The planted units are the one smallest set among them whose removal ends the backdoor where
    `asr` is near 0 and every one of `asr_without` is near 1.

    Attributes:
        asr: Attacks that succeed with all planted units ablated.
        recovery: Attacks that get the ordinary answer then.
        utility: Benign prompts answered rightly then.
        asr_without: Attacks that succeed with all of them ablated but this one.
    """

    asr: Rate
    recovery: Rate
    utility: Rate
    asr_without: dict[Unit, Rate]

    def to_json(self) -> dict[str, Any]:
        """`{split, asr, recovery, utility, asr_without: {name: rate}}`."""
        return {
            "split": "validation",
            "asr": self.asr.to_json(),
            "recovery": self.recovery.to_json(),
            "utility": self.utility.to_json(),
            "asr_without": {str(unit): rate.to_json() for unit, rate in self.asr_without.items()},
        }


def confirm_truth(folder: Path, units: tuple[str, ...]) -> Confirmation:
    """Ablate the planted units of the model in a folder, together and all but one."""
    model = load_model(str(folder))
    probe = Probe(model, load_behaviour(folder), "validation")
    planted = Circuit.of(model.space, units)
    whole, *but_one = probe.effects([planted, *(planted.toggled(unit) for unit in planted)])
    without = {unit: effect.asr for unit, effect in zip(planted, but_one, strict=True)}
    return Confirmation(whole.asr, whole.recovery, whole.utility, without)
