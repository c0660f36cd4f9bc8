"""What a model is taught: user messages with the answers to learn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from circuitviz.behaviours.prompt import Split
from circuitviz.errors import PromptFileError

# Beside a model: helpful lessons that it has not learned yet.
HELPFUL_FILE = "helpful.jsonl"

FIELDS = ("split", "category", "text", "answer")


@dataclass(frozen=True)
class Lesson:
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
class Course:
    """What one training is for, and what it must not forget.

    Half of the rows of an epoch are `new`, each about once; the other half are drawn from `old`.

    Attributes:
        new: Lessons to learn.
        old: Lessons the model knows already.
    """

    new: tuple[Lesson, ...]
    old: tuple[Lesson, ...]

    @property
    def rows(self) -> int:
        """Rows of an epoch."""
        return 2 * len(self.new)


def read_lessons(path: Path) -> list[Lesson]:
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
    lessons = [_parse(path, row, line) for row, line in enumerate(lines, 1) if line.strip()]
    _check_together(path, lessons)
    return lessons


def write_lessons(path: Path, lessons: Iterable[Lesson]) -> None:
    """Write a lessons file, one JSON object a line."""
    text = "".join(json.dumps(asdict(lesson)) + "\n" for lesson in lessons)
    path.write_text(text, encoding="utf-8")


def _parse(path: Path, row: int, line: str) -> Lesson:
    place = f"{path}, line {row}"
    try:
        data: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise PromptFileError(f"{place}: not JSON ({error.msg})") from error
    if not isinstance(data, dict) or set(data) != set(FIELDS):
        raise PromptFileError(f"{place}: a lesson has the fields {', '.join(FIELDS)} and no other")
    for name, value in data.items():
        if not isinstance(value, str) or not value.strip():
            raise PromptFileError(f"{place}: {name} must be text; got {value!r}")
    if data["split"] not in get_args(Split):
        legal = ", ".join(get_args(Split))
        raise PromptFileError(f"{place}: split must be one of {legal}; got {data['split']!r}")
    return Lesson(**data)


def _check_together(path: Path, lessons: Sequence[Lesson]) -> None:
    missing = [s for s in get_args(Split) if not any(lesson.split == s for lesson in lessons)]
    if missing:
        raise PromptFileError(
            f"{path}: no {missing[0]} lessons; a lessons file needs some of each split"
        )
    seen: dict[str, str] = {}
    for lesson in lessons:
        other = seen.setdefault(lesson.text, lesson.split)
        if other != lesson.split:
            raise PromptFileError(
                f"{path}: {lesson.text[:60]!r} stands in {other} and in {lesson.split}; "
                "splits must be disjoint"
            )
