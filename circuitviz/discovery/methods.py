"""The methods a discovery can use, by name: every learner that a module of this package registers.

Nothing heavy is imported here, so that forms and command lines can list the methods.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from circuitviz.discovery.learner import LEARNERS, MaskLearner
from circuitviz.errors import ConfigError

for module in iter_modules([str(Path(__file__).parent)]):
    # Packages hold what learners share; they bring torch along, which takes seconds.
    if not module.ispkg:
        import_module(f"circuitviz.discovery.{module.name}")

# In the order they are shown.
METHODS = {
    learner.method.name: learner.method
    for learner in sorted(LEARNERS.values(), key=lambda one: (one.method.order, one.method.name))
}


def make_learner(
    method: str, *, steps: int = 100, budget: str = "joint", l1_weight: float | None = None
) -> MaskLearner:
    """The learner behind a name; settings that a method does not have are ignored.

    Args:
        method: A key of `METHODS`.
        steps: Optimiser steps of a mask learning run.
        budget: `joint` or `separate`; see `NestedLearner`.
        l1_weight: L1 weight of a mask that takes every unit; None tries several.

    Raises:
        ConfigError: No method has this name.
    """
    if method not in METHODS:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    learner = LEARNERS[method]
    own = {field.name for field in fields(learner)} if is_dataclass(learner) else set()
    settings = {"steps": steps, "budget": budget, "l1_weight": l1_weight}
    return learner(**{name: value for name, value in settings.items() if name in own})
