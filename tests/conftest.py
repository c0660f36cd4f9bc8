"""Fixtures that several test folders share."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitviz.models.loading import load_model
from circuitviz.models.model import GatedModel
from tests.tiny import save_tiny_model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a tiny random model."""
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> GatedModel:
    """The tiny random model, gated."""
    return load_model(str(tiny_folder))
