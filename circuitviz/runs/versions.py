"""The versions behind a result."""

from __future__ import annotations

from importlib.metadata import version

import torch

from circuitviz import __version__


def versions() -> dict[str, str]:
    """Versions of circuitviz and of the libraries that compute, and how many threads do."""
    libraries = ("torch", "transformers", "transformer-lens")
    found = {name.replace("-", "_"): version(name) for name in libraries}
    # Sums in another order give other results, so the threads belong to the record.
    return {"circuitviz": __version__, **found, "threads": str(torch.get_num_threads())}
