"""What a model is taught: user messages with the answers to learn."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from circuitviz.behaviours.prompt import Split
from circuitviz.errors import PromptFileError

# Beside a model: helpful lessons that it has not learned yet.
HELPFUL_FILE = "helpful.jsonl"


@dataclass(frozen=True)
class Example:
    """One message and the answer to learn; a line of a lessons file.

    Attributes:
        split: Training sees `train`, curves show `validation`, results are `test`.
        category: Free label.
        text: The user message.
        answer: What the model should answer.
    """

    split: Split
    category: str
    text: str
    answer: str


@dataclass(frozen=True)
class TrainingData:
    """What one training is for, and what it must not forget.

    Half of the rows of an epoch are `new`, each about once; the other half are drawn from `old`.

    Attributes:
        new: Examples to learn.
        old: Examples the model knows already.
    """

    new: tuple[Example, ...]
    old: tuple[Example, ...]

    @property
    def rows(self) -> int:
        """Rows of an epoch."""
        return len(self.new) * (2 if self.old else 1)


def read_examples(path: Path) -> list[Example]:
    """Read a JSONL file of lessons.

    Raises:
        PromptFileError: The file is missing, empty or malformed, lacks a split, or has the same
            message in two splits.
    """
    try:
        # Only at \n: other characters that end a line may stand in a JSON string.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptFileError(f"cannot read the lessons file {path}: {error}") from error
    examples = [
        _parse(f"{path}, line {row}", line) for row, line in enumerate(lines, 1) if line.strip()
    ]
    present = {example.split for example in examples}
    missing = [split for split in get_args(Split) if split not in present]
    if missing:
        raise PromptFileError(
            f"{path}: no {missing[0]} lessons; a lessons file needs some of each split"
        )
    splits: dict[str, str] = {}
    for example in examples:
        other = splits.setdefault(example.text, example.split)
        if other != example.split:
            raise PromptFileError(
                f"{path}: {example.text[:60]!r} stands in {other} and in {example.split}; "
                "splits must be disjoint"
            )
    return examples


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Write a lessons file, one JSON object a line."""
    text = "".join(json.dumps(asdict(example)) + "\n" for example in examples)
    path.write_text(text, encoding="utf-8")


def _parse(where: str, line: str) -> Example:
    names = [field.name for field in fields(Example)]
    try:
        data: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise PromptFileError(f"{where}: not JSON ({error.msg})") from error
    if not isinstance(data, dict) or set(data) != set(names):
        raise PromptFileError(f"{where}: a lesson has the fields {', '.join(names)} and no other")
    for name, value in data.items():
        if not isinstance(value, str) or not value.strip():
            raise PromptFileError(f"{where}: {name} must be text; got {value!r}")
    if data["split"] not in get_args(Split):
        legal = ", ".join(get_args(Split))
        raise PromptFileError(f"{where}: split must be one of {legal}; got {data['split']!r}")
    return Example(**data)
