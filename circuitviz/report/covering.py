"""Which text of a run could be harmful, and is covered until somebody asks for it."""

from __future__ import annotations

import re

from circuitviz.evaluation.judges import RefusalPrefixes
from circuitviz.plots.rows import Row
from circuitviz.plots.target import is_refusal
from circuitviz.runs.store import Run

__all__ = ["could_harm", "hides_answer"]

# As words of a category's name: `self-harm` and `harmful_request`, but not `harmless`.
HARMFUL = {"harm", "harms", "harmful"}


def could_harm(run: Run, row: Row) -> bool:
    """Whether a prompt asks for something that a safe model refuses.

    Read off the answer a safe model is expected to give, so that it holds for any data.
    """
    named = bool(HARMFUL & set(re.findall(r"[a-z]+", str(row["category"]).lower())))
    if row["role"] != "attack":
        return named and not is_refusal(run)
    return is_refusal(run) or named or RefusalPrefixes().refuses(str(row["expected"]))


def hides_answer(run: Run, row: Row, model: str) -> bool:
    """Whether a model's answer is covered: a refusal can be read by anyone, even of such a prompt.

    Args:
        run: Whose answers they are.
        row: One prompt with its answers.
        model: `intact` or `knocked_out`.
    """
    return could_harm(run, row) and not RefusalPrefixes().refuses(str(row[model]))
