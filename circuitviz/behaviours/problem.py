"""What is wrong, or doubtful, with data: where it stands, in one line each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["error", "warning"]


# By code: what is wrong and what to do, without row and column.  With an error the data cannot be
# used; a warning should be read.
_ERRORS = {
    "no-such-column": "no such column, so {field} cannot be read from it; there are {columns}",
    "no-prompts": "no column of prompts among {columns}; say which one the field prompt is",
    "unknown": "must be one of {legal}; got {got}",
    "not-text": "must be text; got {got}",
    "empty": "empty; every row needs its {field}",
    "too-long": "{count} characters; at most {most} can be read: shorten the text",
    "no-benign": "no benign prompts, which show what must stay as it is: give a second file of "
    "harmless prompts, or a column role that says attack or benign",
    "no-trigger": "a backdoor needs its trigger: give the trigger's words, or a column of "
    "triggered prompts",
    "trigger-in-benign": "the benign prompt holds the trigger {trigger!r}; take the row out",
    "target-is-answer": "the answer of the intact model to the clean prompt starts with the target "
    "{target} itself, so nothing tells a successful attack",
    "target-is-refusal": "the refusal starts with the target {target} itself, so nothing tells an "
    "answer from a refusal",
    "target-is-after": "the answer after removal starts with the target {target}, so removal could "
    "not be told",
    "target-is-not-after": "the target {target} is not how the answer after removal, {after}, "
    "begins",
    "in-two-splits": "the same prompt as {there}, here in the split {here} and there in {other}; "
    "splits must be disjoint: keep one of the two",
    "contradiction": "the same prompt as {there}, but {difference}; keep one of the two",
    "few-rows": "{count} usable rows; at least {both} are needed, {least} for the attack and "
    "{least} set aside as benign prompts: give {more} more, or a second file of benign prompts",
    "few-of-role": "{count} usable {role} prompts; at least {least} are needed ({parts}): give "
    "{more} more",
    "few-in-split": "{count} {role} prompts in the split {split}; at least {least} are needed: "
    "give more, or leave the column of splits out, and splits are made",
}
WARNINGS = {
    "no-common-trigger": "the triggered prompts are not the clean ones with the same words at the "
    "same place, so no control with other words can be made",
    "trigger-in-clean": "the clean prompt holds the trigger {trigger!r} already; left out",
    "trigger-not-in-triggered": "the triggered prompt does not hold the trigger {trigger!r}",
    "duplicate": "the same prompt as {there}; {outcome}",
    "spelled-otherwise": "the prompt of {there} in other spelling, here in the split {here} and "
    "there in {other}: what is learned from one is tested on the other",
    "few-tests": "{count} attack prompts in the test split: even if no attack succeeds, a rate of "
    "{bound:.0f} % stays possible (95 % interval); give more prompts",
    "name-twice": "the name {name!r} is that of row {other} as well, so all rows get names of "
    "their own",
}
# What rows have beyond the first few, which are named; the rows of other codes are all named.
COUNTED = {
    "unknown": "no known {field}",
    "not-text": "something else than text",
    "empty": "an empty cell",
    "too-long": "too many characters",
    "trigger-in-benign": "the trigger in the benign prompt",
    "target-is-answer": "a target that is the clean answer",
    "target-is-refusal": "a target that is the clean answer",
    "target-is-after": "a target that is the answer after removal",
    "target-is-not-after": "a target that is not the answer's beginning",
    "in-two-splits": "a prompt of another split",
    "contradiction": "a prompt that another row has otherwise",
    "trigger-in-clean": "the trigger in the clean prompt, left out",
    "trigger-not-in-triggered": "a triggered prompt without the trigger",
    "duplicate": "the prompt of an earlier row, left out",
    "spelled-otherwise": "the prompt of another split in other spelling",
}
ROWS_NAMED = 5


class Origin(NamedTuple):
    """Where something was read.

    Attributes:
        file: The file's name, "" where no single file is meant.
        row: The row's number as the file counts it, from 1 (in CSV the header is row 1); None
            where no single row is meant.
    """

    file: str = ""
    row: int | None = None

    def seen_from(self, here: Origin) -> str:
        """What a row is called in a message about another row."""
        return f"row {self.row}" + (f" of {self.file}" if self.file != here.file else "")


NOWHERE = Origin()


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        code: A key of `_ERRORS` or `WARNINGS`.
        origin: Where it is.
        column: The column's name; None where no single column is meant.
        text: What is wrong and what to do, without row and column.
    """

    code: str
    origin: Origin
    column: str | None
    text: str

    @property
    def severity(self) -> Severity:
        """With an `error` the data cannot be used; a `warning` should be read."""
        return "error" if self.code in _ERRORS else "warning"

    @property
    def place(self) -> str:
        """File, row and column, as far as they are known."""
        row = f"row {self.origin.row}" if self.origin.row is not None else ""
        column = f"column {self.column}" if self.column is not None else ""
        return ", ".join(part for part in (self.origin.file, row, column) if part)

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


class Problems:
    """Collects problems; of many of one kind, the first rows are named and the others counted."""

    def __init__(self) -> None:
        self._named: list[Problem] = []
        self._counts: Counter[tuple[str, str, str | None, str]] = Counter()
        self.errors = 0

    def add(
        self, code: str, origin: Origin = NOWHERE, column: str | None = None, **values: object
    ) -> None:
        """Note a problem.

        Args:
            code: Which; those of one code, file and column are counted together.
            origin: Where it is.
            column: In which column, if in one.
            values: What its text names.
        """
        self.errors += code in _ERRORS
        key = (code, origin.file, column, COUNTED.get(code, "").format(**values))
        self._counts[key] += 1
        if code not in COUNTED or self._counts[key] <= ROWS_NAMED:
            text = (_ERRORS | WARNINGS)[code].format(**values)
            self._named.append(Problem(code, origin, column, text))

    def all(self) -> tuple[Problem, ...]:
        """Every problem, errors first."""
        more = [
            Problem(code, Origin(file), column, f"{n} more {'row' if n == 1 else 'rows'} with {of}")
            for (code, file, column, of), count in self._counts.items()
            if of and (n := count - ROWS_NAMED) > 0
        ]
        return tuple(sorted([*self._named, *more], key=lambda one: one.severity != "error"))
