"""What is wrong, or doubtful, with data: where it stands, in one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]

# Rows that are named for one kind of problem; the others are counted.
ROWS_NAMED = 5


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        severity: With an `error` the data cannot be used; a `warning` should be read.
        row: The row's number as the file counts it, from 1 (in CSV the header is row 1); None
            where no single row is meant.
        column: The column's name; None where no single column is meant.
        text: What is wrong and what to do, without row and column.
        file: The file's name, "" where no single file is meant.
    """

    severity: Severity
    row: int | None
    column: str | None
    text: str
    file: str = ""

    def __str__(self) -> str:
        row = f"row {self.row}" if self.row is not None else ""
        column = f"column {self.column}" if self.column is not None else ""
        place = ", ".join(part for part in (self.file, row, column) if part)
        return f"{place}: {self.text}" if place else self.text


class Problems:
    """Collects problems; of many of one kind, the first rows are named and the others counted."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._seen: Counter[tuple[str, ...]] = Counter()

    def add(
        self,
        severity: Severity,
        text: str,
        *,
        kind: str = "",
        file: str = "",
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        """Note a problem; those of one `kind`, file and column are counted together."""
        key = (severity, file, column or "", kind)
        self._seen[key] += 1
        if not kind or self._seen[key] <= ROWS_NAMED:
            self._found.append(Problem(severity, row, column, text, file))

    @property
    def errors(self) -> int:
        """How many errors there are."""
        return sum(count for key, count in self._seen.items() if key[0] == "error")

    def all(self) -> tuple[Problem, ...]:
        """Every problem, errors first."""
        left = [
            Problem(severity, None, column or None, _more(count - ROWS_NAMED, kind), file)  # type: ignore[arg-type]
            for (severity, file, column, kind), count in self._seen.items()
            if kind and count > ROWS_NAMED
        ]
        return tuple(_errors_first([*self._found, *left]))


def _more(count: int, kind: str) -> str:
    return f"{count} more {'row' if count == 1 else 'rows'} with {kind}"


def _errors_first(problems: Sequence[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.severity != "error")
