"""What to look for: a behaviour that is there already, or one made of somebody's own prompts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from circuitviz.behaviours.behaviour import Behaviour, BehaviourKind
from circuitviz.behaviours.behaviour import read_behaviour as read_behaviour
from circuitviz.behaviours.columns import Columns, columns_given
from circuitviz.behaviours.prepare import DataSpec, PreparedData, prepare_data
from circuitviz.behaviours.tables import read_table
from circuitviz.behaviours.trigger import Place, Trigger
from circuitviz.errors import ConfigError, PromptFileError
from circuitviz.models.source import find_model


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
