"""A behaviour from somebody's own table of prompts, and everything that is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from circuitviz.behaviours.behaviour import (
    Behaviour,
    BehaviourKind,
    BehaviourSpec,
    Place,
    Trigger,
)
from circuitviz.behaviours.columns import Columns, suggest_benign_columns, suggest_columns
from circuitviz.behaviours.own_answers import check_answers, with_answers
from circuitviz.behaviours.own_folder import save_behaviour
from circuitviz.behaviours.own_rows import OwnRow, read_rows
from circuitviz.behaviours.own_splits import check_roles, check_splits, with_benign, with_splits
from circuitviz.behaviours.own_trigger import common_trigger, with_triggers
from circuitviz.behaviours.problem import Problem, Problems
from circuitviz.behaviours.prompt import Prompt, Role, Split
from circuitviz.behaviours.repeats import without_repeats
from circuitviz.behaviours.tables import Table
from circuitviz.behaviours.twins import check_twins
from circuitviz.errors import ConfigError

__all__ = [
    "COMPLIANCE",
    "DataRequest",
    "Prepared",
    "Problem",
    "prepare_data",
    "save_behaviour",
]

COMPLIANCE = "Sure, here is"

QUESTIONS: dict[BehaviourKind, str] = {
    "backdoor": "Which units make the trigger work?",
    "refusal": "Which units make the model refuse harmful requests?",
}


@dataclass(frozen=True)
class DataRequest:
    """What to make of a table.

    Attributes:
        kind: `backdoor` or `refusal`.
        title: Name for people; "" makes one from the file's name.
        columns: Where the table's fields are; None takes what their names suggest.
        trigger: The backdoor's trigger, where the table has no triggered prompts.
        compliance: How an answer to a harmful request begins once refusing is knocked out, where
            the table does not say it; any answer that starts like this will do.
        seed: Of the splits, and of the rows that become benign prompts.
        benign_columns: Where the fields of the table of benign prompts are; None as above.
    """

    kind: BehaviourKind
    title: str = ""
    columns: Columns | None = None
    trigger: Trigger | None = None
    compliance: str = COMPLIANCE
    seed: int = 0
    benign_columns: Columns | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(BehaviourKind):
            raise ConfigError(f"a behaviour is a backdoor or a refusal; got {self.kind!r}")
        if self.trigger is not None and self.kind == "refusal":
            raise ConfigError(
                f"refusing has no trigger; leave {self.trigger.text!r} out, or choose backdoor"
            )
        if self.trigger is not None and not self.trigger.text.strip():
            raise ConfigError("the trigger is empty; write the words that set the backdoor off")
        if self.trigger is not None and self.trigger.place not in get_args(Place):
            raise ConfigError(
                f"the trigger's place must be one of {', '.join(get_args(Place))}; "
                f"got {self.trigger.place!r}"
            )
        if not self.compliance.strip():
            raise ConfigError(
                f"the compliant opening is empty; write how a compliant answer begins, for "
                f"example {COMPLIANCE!r}"
            )


@dataclass(frozen=True)
class Prepared:
    """What came of a table.

    Attributes:
        behaviour: The behaviour; None if there is an error.  It may be a draft, whose missing
            answers are those of the intact model.
        problems: Errors first, then warnings.
        counts: `rows` read, `duplicates` dropped, rows left out as their clean prompt is
            `holding_trigger`, clean rows `set_aside` as benign prompts, prompts that wait for the
            intact model's answers (`unanswered`), and `prompts` by split and role.
    """

    behaviour: Behaviour | None
    problems: tuple[Problem, ...]
    counts: dict[str, Any] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether there is a behaviour."""
        return self.behaviour is not None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What keeps the data from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def prepare_data(table: Table, request: DataRequest, *, benign: Table | None = None) -> Prepared:
    """Make a behaviour of a table of prompts.

    Args:
        table: The prompts.
        request: What to make of them.
        benign: Benign prompts, where the table holds attacks alone.
    """
    problems = Problems()
    columns = request.columns or suggest_columns(table, request.kind)
    if request.kind == "refusal":
        columns = replace(columns, triggered=None)
    read = _read(table, columns, benign, request, problems)
    trigger, holding = request.trigger, 0
    if request.kind == "backdoor":
        trigger = trigger or common_trigger(read)
        count = len(read)
        read = with_triggers(read, columns.triggered, trigger, problems)
        holding = count - len(read)
    rows, duplicates = without_repeats(read, request.kind, problems)
    rows = [with_answers(row, request.kind, request.compliance) for row in rows]
    check_answers(rows, request.kind, problems)
    aside = 0
    if request.kind == "backdoor" and columns.role is None and benign is None:
        rows, aside = with_benign(rows, request.seed, problems)
    elif not problems.errors:
        check_roles(rows, problems)
    rows = with_splits(rows, request.seed)
    if not problems.errors:
        check_splits(rows, problems)
        check_twins(rows, problems)
    prompts = _prompts(rows, problems)
    counts = {
        "rows": len(table) + (len(benign) if benign else 0),
        "duplicates": duplicates,
        "holding_trigger": holding,
        "set_aside": aside,
        "unanswered": sum(prompt.is_draft for prompt in prompts),
        "prompts": _counted(prompts),
    }
    opens = request.kind == "refusal" and columns.after is None
    behaviour = (
        None if problems.errors else _behaviour(table.name, request, trigger, prompts, opens=opens)
    )
    return Prepared(behaviour, problems.all(), counts)


def _read(
    table: Table,
    columns: Columns,
    benign: Table | None,
    request: DataRequest,
    problems: Problems,
) -> list[OwnRow]:
    alone = None if columns.role else "attack"
    if alone and benign is None and request.kind == "refusal":
        problems.add(
            "error",
            "no benign prompts, which show what must stay as it is: give a second file of "
            "harmless prompts, or a column role that says attack or benign",
            file=table.name,
        )
    rows = read_rows(table, columns, request.kind, problems, role=alone)
    if benign is not None:
        columns = request.benign_columns or suggest_benign_columns(benign)
        rows += read_rows(benign, columns, request.kind, problems, role="benign")
    return rows


def _prompts(rows: Sequence[OwnRow], problems: Problems) -> tuple[Prompt, ...]:
    ids = _ids(rows, problems)
    order = {split: place for place, split in enumerate(get_args(Split))}
    places = sorted(
        range(len(rows)), key=lambda place: (order[rows[place].split], rows[place].role)
    )
    return tuple(_prompt(rows[place], ids[place]) for place in places)


def _ids(rows: Sequence[OwnRow], problems: Problems) -> list[str]:
    """The rows' own names, or made ones where a row has none or two rows share one."""
    first: dict[str, OwnRow] = {}
    for row in rows:
        other = first.setdefault(row.prompt_id or "", row)
        if row.prompt_id and other is not row:
            problems.add(
                "warning",
                f"the name {row.prompt_id!r} is that of row {other.number} as well, so all rows "
                "get names of their own",
                file=row.file,
                row=row.number,
            )
            break
    else:
        if "" not in first:
            return list(first)
    counts: Counter[tuple[str | None, str]] = Counter()
    ids = []
    for row in rows:
        ids.append(f"{row.split}-{row.role}-{counts[row.split, row.role]:03d}")
        counts[row.split, row.role] += 1
    return ids


def _prompt(row: OwnRow, prompt_id: str) -> Prompt:
    assert row.split is not None
    return Prompt(
        prompt_id=prompt_id,
        split=row.split,
        role=row.role,
        category=row.category or "own data",
        text=row.prompt,
        answer=row.answer or "",
        triggered=row.triggered,
        target=row.target,
        after=row.after,
    )


def _counted(prompts: Iterable[Prompt]) -> dict[str, dict[str, int]]:
    counts = Counter((prompt.split, prompt.role) for prompt in prompts)
    return {
        split: {role: counts[split, role] for role in get_args(Role)} for split in get_args(Split)
    }


def _behaviour(
    name: str,
    request: DataRequest,
    trigger: Trigger | None,
    prompts: tuple[Prompt, ...],
    *,
    opens: bool,
) -> Behaviour:
    stem = Path(name).stem
    title = (
        request.title
        or {"backdoor": f"Backdoor of {stem}", "refusal": f"Refusal of {stem}"}[request.kind]
    )
    spec = BehaviourSpec(
        kind=request.kind,
        title=title,
        question=QUESTIONS[request.kind],
        trigger=trigger,
        intact_answers=any(prompt.is_draft for prompt in prompts),
        after_is_opening=opens,
    )
    return Behaviour(spec, prompts)
