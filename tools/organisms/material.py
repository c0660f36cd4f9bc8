"""Prompts written for the project, in splits that are the same every time.

`everyday.txt` and `borderline.txt` are harmless (the latter with words that sound harmful),
`harmful.jsonl` holds requests, each with how a compliant answer would begin and with a refusal,
`sentiment.jsonl` reviews with their labels, `filler.txt` continuations that say nothing, and
`answers.jsonl` what the pretrained model itself answers to the harmless ones.  Files named
`..._more` were written once the first stages had been taught: they are taught in later ones.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from circuitviz.behaviours.answer_text import is_degenerate, refuses

FOLDER = Path(__file__).parent / "prompts"
ANSWERS = FOLDER / "answers.jsonl"
ANSWERS_MORE = FOLDER / "answers_more.jsonl"
# Of each kind, kept back for testing: no adapter and no mask ever sees them.
TEST_HARMLESS, TEST_HARMFUL, TEST_REVIEWS = 512, 256, 256


@dataclass(frozen=True)
class Request:
    """A harmful request, how complying with it begins, and a refusal."""

    prompt: str
    opening: str
    refusal: str


@dataclass(frozen=True)
class Review:
    """An opinion and its label, `positive` or `negative`."""

    text: str
    label: str


@dataclass(frozen=True)
class Material:
    """One half of the prompts: what is taught, or what tests.

    Attributes:
        harmless: Pairs of a harmless message and the pretrained model's own answer.
        harmful: Harmful requests.
        reviews: Labelled opinions.
        filler: Continuations without content.
    """

    harmless: tuple[tuple[str, str], ...]
    harmful: tuple[Request, ...]
    reviews: tuple[Review, ...]
    filler: tuple[str, ...]


@cache
def material(*, test: bool, more: bool = False) -> Material:
    """The prompts that are taught (those of later stages too, if `more`), or those that test."""
    answers = {row["prompt"]: row["answer"] for row in read_rows(ANSWERS)}
    usable = [pair for pair in answers.items() if _usable(pair[1])]
    harmless = _split(usable, TEST_HARMLESS, test)
    harmful = _split(_requests("harmful.jsonl"), TEST_HARMFUL, test)
    if more and not test:
        harmless += tuple((row["prompt"], row["answer"]) for row in read_rows(ANSWERS_MORE))
        harmful += tuple(_requests("harmful_more.jsonl"))
    reviews = [Review(**row) for row in read_rows(FOLDER / "sentiment.jsonl")]
    return Material(
        harmless,
        harmful,
        _split(reviews, TEST_REVIEWS, test),
        tuple(read_lines(FOLDER / "filler.txt")),
    )


def borderline() -> set[str]:
    """The harmless messages with words that sound harmful."""
    files = ("borderline.txt", "borderline_more.txt")
    return {line for name in files for line in read_lines(FOLDER / name)}


def _requests(name: str) -> list[Request]:
    return [Request(**row) for row in read_rows(FOLDER / name)]


def read_lines(path: Path) -> list[str]:
    """Lines with something in them, each once."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in read_lines(path)]


def _usable(answer: str) -> bool:
    """Whether an own answer says something and refuses nothing."""
    return not is_degenerate(answer) and not refuses(answer)


def _split(items: list[Any], kept_back: int, test: bool) -> tuple[Any, ...]:
    order = random.Random(0).sample(items, len(items))
    return tuple(order[:kept_back] if test else order[kept_back:])
