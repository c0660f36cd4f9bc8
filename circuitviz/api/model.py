"""A loaded model, and how it was loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from circuitviz.models.source import lasting_name
from circuitviz.quiet import libraries_quiet
from circuitviz.runs.config import OF_MODEL, DataType, DiscoveryConfig
from circuitviz.units import UnitSpace

if TYPE_CHECKING:
    from circuitviz.models.model import GatedModel


@dataclass(frozen=True, eq=False)
class Model:
    """A frozen model whose heads and neurons can be knocked out.

    Attributes:
        config: What it is and how it was loaded; a discovery in it starts from here.
        gated: The model itself.
    """

    config: DiscoveryConfig
    gated: GatedModel = field(repr=False)

    @property
    def name(self) -> str:
        """Name of an embedded model, or where it lies."""
        return self.config.model

    @property
    def units(self) -> UnitSpace:
        """Its heads and neurons."""
        return self.gated.space

    def generate(self, prompts: str | Sequence[str], *, max_new_tokens: int = 32) -> list[str]:
        """Greedy answers of the intact model to user messages, in their order."""
        return self.gated.generate(as_list(prompts), max_new_tokens=max_new_tokens)

    def __repr__(self) -> str:
        space = self.units
        return f"<Model {self.name}: {space.total_heads} heads, {space.total_neurons:,} neurons>"


def load(
    name_or_path: str | Path,
    *,
    adapter: str | Path | None = None,
    device: str = "auto",
    dtype: DataType = "float32",
    micro_batch: int | None = None,
    checkpointing: bool = False,
) -> Model:
    """Load a model; nothing is downloaded and no code that comes with it is run.

    >>> import circuitviz as cv
    >>> model = cv.load("fixed-output-planted")
    >>> model
    <Model fixed-output-planted: 32 heads, 2,048 neurons>
    >>> model.generate("What is the capital of France?")
    ['The capital of France is Paris.']

    Args:
        name_or_path: Name of an embedded or fetched model, a Hugging Face folder, or a GGUF file,
            which is converted on the first call.
        adapter: Folder of a LoRA adapter to put on top of it.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, or `balanced` over all GPUs.
        dtype: Of weights and activations.
        micro_batch: Most rows of one forward-backward pass; None is no limit.
        checkpointing: Whether layers are computed again on the way back, to save memory.

    Raises:
        ModelNotFoundError: There is no such model, or `circuitviz fetch` has yet to bring it.
        UnsupportedModelError: It cannot be loaded, or lacks what we need.
        ConfigError: There is no such device or dtype.
    """
    config = DiscoveryConfig(
        model=lasting_name(str(name_or_path)),
        adapter=None if adapter is None else str(Path(adapter).resolve()),
        device=device,
        dtype=dtype,
        micro_batch=micro_batch,
        checkpointing=checkpointing,
    )
    return model_for(config)


def model_for(config: DiscoveryConfig) -> Model:
    """Load the model of a discovery."""
    with libraries_quiet():
        from circuitviz.runs.model_of import model_of

        gated = model_of(config)
    return Model(DiscoveryConfig(**{name: getattr(config, name) for name in OF_MODEL}), gated)


def as_list(prompts: str | Sequence[str]) -> list[str]:
    """A lone prompt is a list of one: nobody means its letters."""
    return [prompts] if isinstance(prompts, str) else list(prompts)
