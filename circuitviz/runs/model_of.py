"""The model that a configuration names, as it is to be run."""

from __future__ import annotations

from circuitviz.models.loading import load_model
from circuitviz.models.model import GatedModel
from circuitviz.runs.config import DiscoveryConfig


def model_of(config: DiscoveryConfig) -> GatedModel:
    """Load the model.

    Raises:
        ModelNotFoundError: There is no such model.
        UnsupportedModelError: It cannot be loaded or gated.
        ConfigError: There is no such device.
    """
    return load_model(
        config.model,
        adapter=config.adapter,
        device=config.device,
        dtype=config.dtype,
        micro_batch=config.micro_batch,
        checkpointing=config.checkpointing,
    )
