"""Prompts that are looked into stay covered where they could do harm, until asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from circuitviz.runs.store import Run
from circuitviz.ui.elements.cover import COVERED_REQUEST

if TYPE_CHECKING:
    from circuitviz.inspection.neuron_trace import TopPrompt
    from circuitviz.inspection.prompt_pair import PromptPair, TokenRow


COVERED_TOKEN = "\u2592"


@dataclass(frozen=True)
class DrillCover:
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
    def of(cls, run: Run, harmful: frozenset[str], *, shown: bool) -> DrillCover:
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
