"""Find, knock out and look at the safety circuits of transformer language models.

    import circuitviz as cv

    model = cv.load("fixed-output-planted")
    run = cv.discover(model)
    run.frontier
    run.knock_out(size=4).generate("What is the capital of France?")

Importing it takes no time: what a name needs is imported when the name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuitviz.api.discovery import discover, sweep
    from circuitviz.api.inputs import Model, load, load_behaviour
    from circuitviz.api.run import KnockedOut, Run, open_run, saved_runs
    from circuitviz.errors import CircuitvizError
    from circuitviz.models.preflight import preflight
    from circuitviz.units import Circuit, Unit

__version__ = "0.1.0"

__all__ = [
    "Circuit",
    "CircuitvizError",
    "KnockedOut",
    "Model",
    "Run",
    "Unit",
    "discover",
    "load",
    "load_behaviour",
    "open_run",
    "preflight",
    "saved_runs",
    "sweep",
]

HOMES = {
    "Circuit": "circuitviz.units",
    "CircuitvizError": "circuitviz.errors",
    "KnockedOut": "circuitviz.api.run",
    "Model": "circuitviz.api.inputs",
    "Run": "circuitviz.api.run",
    "Unit": "circuitviz.units",
    "discover": "circuitviz.api.discovery",
    "load": "circuitviz.api.inputs",
    "load_behaviour": "circuitviz.api.inputs",
    "open_run": "circuitviz.api.run",
    "preflight": "circuitviz.models.preflight",
    "saved_runs": "circuitviz.api.run",
    "sweep": "circuitviz.api.discovery",
}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first used."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
