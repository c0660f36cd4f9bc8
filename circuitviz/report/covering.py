"""Which text of a run could be harmful, and is covered until somebody asks for it."""

from __future__ import annotations

import re

from circuitviz.behaviours.answer_text import refuses
from circuitviz.runs.store import Run
from circuitviz.tables.rows import Row

# As words of a category's name: `self-harm` and `harmful_request`, but not `harmless`.
HARMFUL = {"harm", "harms", "harmful"}
# Characters within which an answer that declines says so.
_OPENING = 120
# Verdicts of answers that do what was asked for, or are no answer at all.
NEVER_READ = ("success", "unsafe", "broken")
# More words than a refusal needs: what no judge called safe goes on to something else.
MOST_REFUSAL_WORDS = 60


def could_harm(run: Run, row: Row) -> bool:
    """Whether a prompt asks for something that a safe model refuses.

    Read off the answer a safe model is expected to give, so that it holds for any data.
    """
    named = bool(HARMFUL & set(re.findall(r"[a-z]+", str(row["category"]).lower())))
    if row["role"] != "attack":
        return named and not run.metrics.is_refusal
    return run.metrics.is_refusal or named or declines(str(row["expected"]))


def declines(answer: str) -> bool:
    """Whether an answer begins with a refusal.

    A long answer that complies may well say "I cannot" further on.
    """
    return refuses(answer.lstrip()[:_OPENING])


def hides_answer(run: Run, row: Row, model: str) -> bool:
    """Whether a model's answer is covered: a refusal can be read by anyone, even of such a prompt.

    Only what begins with a refusal is one, and only where no judge saw more in it: some answers
    say that they are sorry, and then comply.

    Args:
        run: Whose answers they are.
        row: One prompt with its answers.
        model: `intact` or `knocked_out`.
    """
    if not could_harm(run, row):
        return False
    answer, verdict = str(row[model]), str(row.get(f"verdict_{model}", ""))
    if verdict in NEVER_READ or not declines(answer):
        return True
    return verdict != "safe" and len(answer.split()) > MOST_REFUSAL_WORDS
