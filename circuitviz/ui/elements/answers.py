"""Answers of models side by side, with their verdicts and with differing words marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from circuitviz.narrative.text_diff import Sense, marked
from circuitviz.tables.rows import Row
from circuitviz.ui.elements.redaction import COVERED_ANSWER

VERDICT_SIGNS = {
    "success": ("attack succeeds", "cv-no"),
    "safe": ("safe", "cv-yes"),
    "unsafe": ("unsafe", "cv-no"),
    "other": ("neither", ""),
    "correct": ("correct", "cv-yes"),
    "wrong": ("wrong", "cv-no"),
}


@dataclass(frozen=True)
class Answer:
    """One cell of a comparison of answers.

    Attributes:
        title: Which variant and which model.
        prompt: What was asked.
        text: What the model said.
        compared_with: The answer whose differing words are marked in this one.
        verdict: A verdict of the generations table, if there is one.
        sense: What it means that a word is not in the other answer.
    """

    title: str
    prompt: str
    text: str
    compared_with: str | None = None
    verdict: str | None = None
    sense: Sense = "differs"


def answer_cells(
    answers: Sequence[Answer], columns: int, place: DeltaGenerator | None = None
) -> None:
    """Answers side by side, row by row, with differing words marked.

    Args:
        answers: The cells.
        columns: How many a row has.
        place: Where they go; None: here.
    """
    cells = "".join(map(_cell_html, answers))
    html = f'<div class="cv-cells" style="--cv-columns:{columns}">{cells}</div>'
    (place.html if place else st.html)(html)


def _cell_html(answer: Answer) -> str:
    verdict = ""
    if answer.verdict:
        word, tone = VERDICT_SIGNS.get(answer.verdict, (answer.verdict, ""))
        verdict = f'<span class="cv-verdict {tone}">{escape(word)}</span>'
    words = (
        f'<p class="cv-said">{marked(answer.text, answer.compared_with, answer.sense)}</p>'
        if answer.text.strip()
        else '<p class="cv-said cv-empty">(empty answer)</p>'
    )
    return (
        f'<div class="cv-cell"><header><span>{escape(answer.title)}</span>{verdict}</header>'
        f'<p class="cv-asked">{escape(answer.prompt)}</p>{words}</div>'
    )


def compared(row: Row, titles: tuple[str, str]) -> list[Answer]:
    """The intact and the knocked-out model's answers to one prompt, each marked against the other.

    Args:
        row: Of saved answers, covered where it may not be read.
        titles: What the two cells are called.
    """
    covered = COVERED_ANSWER in row.values()
    pairs: tuple[tuple[str, str, str, Sense], ...] = (
        (titles[0], "intact", "knocked_out", "gone"),
        (titles[1], "knocked_out", "intact", "new"),
    )
    return [
        Answer(
            title,
            str(row["prompt"]),
            str(row[model]),
            None if covered else str(row[other]),
            verdict_word(str(row[f"verdict_{model}"])),
            sense,
        )
        for title, model, other, sense in pairs
    ]


def verdict_word(verdict: str) -> str:
    """A verdict as cells show it; of those without a sign of their own, in words."""
    return "gibberish" if verdict == "broken" else verdict
