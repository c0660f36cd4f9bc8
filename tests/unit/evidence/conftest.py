"""The tiny model with a behaviour whose right answers are known."""

from __future__ import annotations

from tests.unit.evaluation.conftest import behaviour, circuit

__all__ = ["behaviour", "circuit"]
