"""What a discovery is asked about: a model and a behaviour."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from circuitviz.behaviours.behaviour import Behaviour, BehaviourKind
from circuitviz.behaviours.behaviour import read_behaviour as read_behaviour
from circuitviz.behaviours.columns import Columns, columns_given
from circuitviz.behaviours.prepare import DataSpec, PreparedData, prepare_data
from circuitviz.behaviours.tables import read_table
from circuitviz.behaviours.trigger import Place, Trigger
from circuitviz.errors import ConfigError, PromptFileError
from circuitviz.models.source import find_model, lasting_name
from circuitviz.quiet import libraries_quiet
from circuitviz.runs.config import OF_MODEL, DataType, DiscoveryConfig
from circuitviz.units import UnitSpace

if TYPE_CHECKING:
    from circuitviz.models.model import GatedModel


def load_behaviour(
    source: str | Path,
    *,
    kind: BehaviourKind | None = None,
    trigger: str | None = None,
    trigger_place: Place = "front",
    benign: str | Path | None = None,
    title: str = "",
    columns: Mapping[str, str] | None = None,
    benign_columns: Mapping[str, str] | None = None,
    compliance: str | None = None,
) -> Behaviour:
    """Read a behaviour from a file of prompts, a folder, or beside an embedded model.

    >>> import circuitviz as cv
    >>> behaviour = cv.load_behaviour("fixed-output-planted")
    >>> behaviour.kind
    'backdoor'
    >>> len(behaviour.prompts("test", "attack"))
    256

    Args:
        source: A table of prompts (.json, .jsonl, .csv, .parquet), a folder with a behaviour.json,
            or the name of an embedded model.
        kind: What a table is about; None goes by its columns, and by the trigger.
        trigger: The backdoor's trigger, put into every prompt of a table that has none triggered.
        trigger_place: Where it goes.
        benign: Table of benign prompts, where the other one holds attacks alone.
        title: Name for people; "" makes one from the file's name.
        columns: Which column holds which field (prompt, answer, triggered, target, after, role,
            split, category, prompt_id), where their names do not tell: `{"prompt": "request"}`.
        benign_columns: The same for the table of benign prompts.
        compliance: How a harmful request is answered once refusing is gone, where the table does
            not say it; None is "Sure, here is".

    What is doubtful about a table is a warning.

    Raises:
        PromptFileError: The prompts cannot be used; all that is wrong with them is said.
        ConfigError: The options do not go together.
        ModelNotFoundError: It is no file, no folder and no embedded model.
    """
    path = Path(source)
    if not path.is_file():
        given = (kind, trigger, benign, title or None, columns, benign_columns, compliance)
        if any(value is not None for value in given):
            raise ConfigError(
                "kind, trigger, benign, title, columns, benign_columns and compliance say "
                f"something about a file of prompts; {source} is none"
            )
        return read_behaviour(
            path if (path / "behaviour.json").is_file() else find_model(str(source))
        )
    if benign_columns is not None and benign is None:
        raise ConfigError("benign_columns says where fields of a table are; give it as benign")
    table = read_table(path)
    spec = DataSpec(
        kind=kind,
        title=title,
        columns=_columns(columns),
        trigger=None if trigger is None else Trigger(trigger, trigger_place),
        compliance=compliance,
        benign_columns=_columns(benign_columns),
    )
    other = None if benign is None else read_table(Path(benign))
    return _usable(prepare_data(table, spec, benign=other))


def _columns(given: Mapping[str, str] | None) -> Columns:
    return columns_given(f"{name}={column}" for name, column in (given or {}).items())


def _usable(prepared: PreparedData) -> Behaviour:
    """The behaviour, with a warning for whatever is doubtful about it."""
    if prepared.behaviour is None:
        problems = "; ".join(str(problem) for problem in prepared.errors)
        raise PromptFileError(
            f"{problems} (columns and benign_columns say where fields are; "
            f"{prepared.table.name} has {', '.join(prepared.table.columns)})"
        )
    for problem in prepared.problems:
        # Names the line that called `load_behaviour`.
        warnings.warn(str(problem), UserWarning, stacklevel=3)
    return prepared.behaviour


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
        from circuitviz.runs.preparation import model_of

        gated = model_of(config)
    return Model(DiscoveryConfig(**{name: getattr(config, name) for name in OF_MODEL}), gated)


def as_list(prompts: str | Sequence[str]) -> list[str]:
    """A lone prompt is a list of one, and not of its letters."""
    return [prompts] if isinstance(prompts, str) else list(prompts)
