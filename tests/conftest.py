"""Fixtures that several test folders share; torch is imported only where one is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from circuitviz.models.model import GatedModel


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a tiny random model."""
    from tests.support.tiny import save_tiny_model

    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> GatedModel:
    """The tiny random model, gated."""
    from circuitviz.models.loading import load_model

    return load_model(str(tiny_folder))
