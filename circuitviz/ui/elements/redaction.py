"""Text that could be harmful stays covered until it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from circuitviz.report.answers import could_harm, hides_answer
from circuitviz.runs.store import Run
from circuitviz.tables.rows import Row, records

if TYPE_CHECKING:
    from circuitviz.inspection.neuron_trace import TopPrompt
    from circuitviz.inspection.prompt_pair import PromptPair, TokenRow

COVERED_REQUEST = "(a harmful request, covered)"
COVERED_ANSWER = "(an answer to a harmful request, covered)"
COVERED_TOKEN = "\u2592"
UNCOVERED = "harmful_text_shown"


def covers(run: Run) -> bool:
    """Whether a run's prompts ask for harmful things."""
    columns = ["role", "category", "expected"]
    kinds = run.generations.drop_duplicates(subset=columns)
    return any(could_harm(run, row) for row in records(kinds))


def uncover_toggle(run: Run, key: str = UNCOVERED) -> bool:
    """The switch that shows covered text, where a run has any; whether it may be shown."""
    if not covers(run):
        return True
    return st.toggle(
        "Show harmful requests and the answers to them",
        key=key,
        persist_state="session",
        help="Some prompts ask for harmful things. They, and answers that do not refuse, stay "
        "covered until you ask for them.",
    )


def redacted(run: Run, answers: pd.DataFrame, *, shown: bool) -> pd.DataFrame:
    """Saved answers with harmful requests, and answers that do not refuse them, covered."""
    if shown or answers.empty:
        return answers
    rows = [redact(run, row) for row in records(answers)]
    return pd.DataFrame(rows, columns=list(answers.columns))


def representative_row(run: Run, answers: pd.DataFrame) -> Row:
    """The answer to open with: of the kind that comes first, one that anybody may read if any is.

    Args:
        run: Whose answers they are.
        answers: At least one row, columns of `generation_frame`.
    """
    rows = records(answers)
    first = rows[0]
    alike = (row for row in rows if all(row[name] == first[name] for name in ("changed", "role")))
    return next((row for row in alike if not could_harm(run, row)), first)


def redact(run: Run, row: Row) -> Row:
    """One row of saved answers, covered where it could do harm; refusals can be read by anyone."""
    if not could_harm(run, row):
        return row
    covered = {
        model: COVERED_ANSWER
        for model in ("intact", "knocked_out")
        if hides_answer(run, row, model)
    }
    return {**row, "prompt": COVERED_REQUEST, **covered}


@dataclass(frozen=True)
class PromptRedactor:
    """What of a run's test prompts may be read.

    Attributes:
        harmful: Ids of the prompts that ask for something a safe model refuses.
        shown: Whether they may be read all the same.
        trigger: The run's trigger, whose tokens anybody may read; empty without one.
    """

    harmful: frozenset[str] = frozenset()
    shown: bool = False
    trigger: str = ""

    @classmethod
    def of(cls, run: Run, harmful: frozenset[str], *, shown: bool) -> PromptRedactor:
        """The cover of a run's prompts."""
        return cls(harmful, shown, str(run.metrics.trigger or ""))

    def covers(self, prompt_id: str) -> bool:
        """Whether a prompt is covered."""
        return prompt_id in self.harmful and not self.shown

    def first(self, prompts: Mapping[str, str]) -> str:
        """The prompt to open with: one that anybody may read, if there is any."""
        return next((name for name in prompts if name not in self.harmful), next(iter(prompts)))

    def label(self, prompt_id: str, text: str) -> str:
        """A message in a list; covered ones all read the same, so their ids tell them apart."""
        return f"{COVERED_REQUEST}, {prompt_id}" if self.covers(prompt_id) else text

    def pair(self, pair: PromptPair) -> PromptPair:
        """A pair with the messages covered, and the tokens that are part of them.

        Without a trigger the clean message is a benign one, which anybody may read.
        """
        if not self.covers(pair.prompt_id):
            return pair
        clean = self._row(pair.clean) if self.trigger else pair.clean
        return replace(pair, clean=clean, triggered=self._row(pair.triggered))

    def top(self, prompt: TopPrompt) -> TopPrompt:
        """A prompt that activates a neuron, covered with its token."""
        if not self.covers(prompt.prompt_id):
            return prompt
        token = self._token(prompt.token, prompt.text)
        return replace(prompt, text=self.label(prompt.prompt_id, prompt.text), token=token)

    def _row(self, row: TokenRow) -> TokenRow:
        labels = tuple(self._token(label, row.text) for label in row.labels)
        return replace(row, text=COVERED_REQUEST, labels=labels)

    def _token(self, label: str, text: str) -> str:
        """The token, unless it is a piece of the message and none of the trigger's."""
        piece = label.strip("#").lower()
        of_trigger = len(piece) > 1 and piece in self.trigger.lower()
        return COVERED_TOKEN if piece in text.lower() and not of_trigger else label
