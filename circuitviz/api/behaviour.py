"""What to look for: a behaviour that is there already, or one made of somebody's own prompts."""

from __future__ import annotations

from pathlib import Path

from circuitviz.behaviours.behaviour import Behaviour, BehaviourKind, Place, Trigger
from circuitviz.behaviours.behaviour import load_behaviour as read_behaviour
from circuitviz.behaviours.columns import suggest_benign_columns, suggest_columns, suggest_kind
from circuitviz.behaviours.own_data import DataRequest, prepare_data
from circuitviz.behaviours.tables import read_table
from circuitviz.errors import ConfigError, PromptFileError
from circuitviz.models.catalog import find_model

__all__ = ["load_behaviour"]


def load_behaviour(
    source: str | Path,
    *,
    kind: BehaviourKind | None = None,
    trigger: str | None = None,
    trigger_place: Place = "front",
    benign: str | Path | None = None,
    title: str = "",
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

    Raises:
        PromptFileError: The prompts cannot be used; all that is wrong with them is said.
        ConfigError: The options do not go together.
        ModelNotFoundError: It is no file, no folder and no embedded model.
    """
    path = Path(source)
    if not path.is_file():
        if (kind, trigger, benign, title) != (None, None, None, ""):
            raise ConfigError(
                "kind, trigger, benign and title say something about a file of prompts; "
                f"{source} is none"
            )
        return read_behaviour(
            path if (path / "behaviour.json").is_file() else find_model(str(source))
        )
    table = read_table(path)
    other = None if benign is None else read_table(Path(benign))
    found = kind or ("backdoor" if trigger is not None else suggest_kind(table))
    request = DataRequest(
        kind=found,
        title=title,
        columns=suggest_columns(table, found),
        trigger=None if trigger is None else Trigger(trigger, trigger_place),
        benign_columns=None if other is None else suggest_benign_columns(other),
    )
    prepared = prepare_data(table, request, benign=other)
    if prepared.behaviour is None:
        raise PromptFileError("; ".join(str(problem) for problem in prepared.errors))
    return prepared.behaviour
