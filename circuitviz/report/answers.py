"""Answers as a report shows them, and which of them are covered first."""

from __future__ import annotations

import re
from dataclasses import dataclass

from circuitviz.behaviours.answer_text import refuses
from circuitviz.narrative.numbers import count
from circuitviz.narrative.text_diff import words_that_differ
from circuitviz.runs.store import Run
from circuitviz.tables.frame import generation_frame
from circuitviz.tables.rows import Row, records

# As words of a category's name: `self-harm` and `harmful_request`, but not `harmless`.
HARMFUL = {"harm", "harms", "harmful"}
# Characters within which an answer that declines says so.
_OPENING = 120
# Verdicts of answers that do what was asked for, or are no answer at all.
NEVER_READ = ("success", "unsafe", "broken")
# More words than a refusal needs: what no judge called safe goes on to something else.
MAX_REFUSAL_WORDS = 60


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
    return verdict != "safe" and len(answer.split()) > MAX_REFUSAL_WORDS


# So many of each kind: enough to see what changes, few enough to read.
ATTACKS, NORMAL = 6, 4

_VERDICTS = {
    "success": "attack succeeds",
    "safe": "safe",
    "other": "neither",
    "broken": "gibberish",
    "correct": "correct",
    "wrong": "wrong",
}
# Whether a verdict is a wanted one; of other verdicts that cannot be said.
GOOD = {"success": False, "wrong": False, "broken": False, "safe": True, "correct": True}
# Verdicts of prompts that attacks are counted on; the rest are normal ones.
_ATTACK_VERDICTS = ("success", "safe", "other", "broken")
# Longer answers are folded behind so many of their words.
FOLDED_WORDS, START_WORDS = 60, 40
# A word with the blanks before it.
_WORD = re.compile(r"\s*\S+")


@dataclass(frozen=True)
class Said:
    """One model's answer.

    Attributes:
        model: Which model, in words.
        stretches: The answer cut up; true where the other model's answer has no counterpart.
        verdict: The judge's verdict, in words.
        good: Whether the verdict is a wanted one; None where it is neither.
        covered: Whether the answer is covered until asked for.
    """

    model: str
    stretches: tuple[tuple[str, bool], ...]
    verdict: str
    good: bool | None
    covered: bool

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(text for text, _ in self.stretches)

    @property
    def length(self) -> int:
        """How many words it has."""
        return len(self.text.split())

    @property
    def folded(self) -> bool:
        """Whether it is too long to stand there in full."""
        return self.length > FOLDED_WORDS

    @property
    def start(self) -> list[tuple[str, bool]]:
        """Its first words, as stretches, with an ellipsis."""
        stretches: list[tuple[str, bool]] = []
        room = START_WORDS
        for text, differs in self.stretches:
            words = _WORD.findall(text)[:room]
            stretches.append(("".join(words) if words else text, differs))
            room -= len(words)
            if not room:
                break
        return [*stretches, ("\u2026", False)]

    @property
    def empty(self) -> bool:
        """Whether nothing was said."""
        return not any(text.strip() for text, _ in self.stretches)


@dataclass(frozen=True)
class AnswerPair:
    """One test prompt, answered with and without the circuit.

    Attributes:
        kind: What kind of prompt it is, in a word or two.
        prompt: What was asked.
        covered: Whether the prompt is covered until asked for.
        changed: Whether the verdict changed.
        said: The intact model's answer, then the other's.
    """

    kind: str
    prompt: str
    covered: bool
    changed: bool
    said: tuple[Said, Said]


def examples(run: Run, *, cover: bool = True) -> list[AnswerPair]:
    """Attacks first, those whose verdict changed before the others, then some normal prompts.

    Of normal prompts, those that changed come first too: they are what knocking out cost.

    Args:
        run: Its saved answers.
        cover: Whether what could be taken for harmful is covered.
    """
    rows = records(generation_frame(run))
    attacks = _varied(run, [row for row in rows if _is_attack(row)], ATTACKS)
    normal = _varied(run, [row for row in rows if row["role"] == "benign"], NORMAL)
    return [_example(run, row, cover) for row in [*attacks, *normal]]


def answers_sentence(run: Run) -> str:
    """How many verdicts changed, of attacks and of normal prompts."""
    rows = records(generation_frame(run))
    attacks = [row for row in rows if _is_attack(row)]
    normal = [row for row in rows if row["role"] == "benign"]
    changed = [sum(bool(row["changed"]) for row in some) for some in (attacks, normal)]
    return (
        f"{changed[0]:,} of {count(len(attacks), 'attack')} and {changed[1]:,} of "
        f"{count(len(normal), 'normal prompt')} get another verdict with the circuit off."
    )


def _is_attack(row: Row) -> bool:
    return row["verdict_intact"] in _ATTACK_VERDICTS


def _varied(run: Run, rows: list[Row], most: int) -> list[Row]:
    """The first rows: changed ones, then those anyone may read, of as many categories as there are.

    Args:
        run: The run they are of.
        rows: Changed ones first.
        most: How many.
    """
    seen: dict[object, int] = {}

    def order(row: Row) -> tuple[bool, int, bool]:
        seen[row["category"]] = seen.get(row["category"], 0) + 1
        return not row["changed"], seen[row["category"]], could_harm(run, row)

    return sorted(rows, key=order)[:most]


def _example(run: Run, row: Row, cover: bool) -> AnswerPair:
    attack = _is_attack(row)
    triggered = row["variant"] == "triggered"
    return AnswerPair(
        kind=("attack, triggered" if triggered else "attack") if attack else "normal prompt",
        prompt=str(row["prompt"]),
        covered=cover and could_harm(run, row),
        changed=bool(row["changed"]),
        said=(
            _said(
                row,
                "intact",
                "knocked_out",
                "Intact model",
                cover and hides_answer(run, row, "intact"),
            ),
            _said(
                row,
                "knocked_out",
                "intact",
                "Circuit off",
                cover and hides_answer(run, row, "knocked_out"),
            ),
        ),
    )


def _said(row: Row, model: str, other: str, name: str, covered: bool) -> Said:
    verdict = str(row[f"verdict_{model}"])
    good = GOOD.get(verdict)
    return Said(
        model=name,
        stretches=tuple(words_that_differ(str(row[model]), str(row[other]))),
        verdict=_VERDICTS.get(verdict, verdict),
        good=good,
        covered=covered,
    )
