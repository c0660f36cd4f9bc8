"""A behaviour from a table of one's own prompts, and everything that is wrong with it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import cast, get_args

from circuitviz.behaviours.behaviour import Behaviour, BehaviourKind, BehaviourSpec
from circuitviz.behaviours.columns import (
    Columns,
    RawPrompt,
    merged,
    read_rows,
    suggest_benign_columns,
    suggest_columns,
    suggest_kind,
)
from circuitviz.behaviours.problem import Origin, Problem, Problems
from circuitviz.behaviours.prompt import Prompt, Split, count_prompts
from circuitviz.behaviours.splits import (
    check_roles,
    check_splits,
    drop_duplicates,
    warn_cross_split_duplicates,
    with_benign,
    with_splits,
)
from circuitviz.behaviours.tables import Table
from circuitviz.behaviours.trigger import Place, Trigger, common_trigger
from circuitviz.errors import ConfigError

COMPLIANCE = "Sure, here is"
QUESTIONS: dict[BehaviourKind, str] = {
    "backdoor": "Which units make the trigger work?",
    "refusal": "Which units make the model refuse harmful requests?",
}
# The first words, at most three, up to any punctuation.
_OPENING = re.compile(r"\s*[^\s,.:;!?]+(?:[ \t]+[^\s,.:;!?]+){0,2}")


@dataclass(frozen=True)
class DataSpec:
    """What to make of a table.

    Attributes:
        kind: `backdoor` or `refusal`; None goes by the trigger, and by the table's columns.
        title: Name for people; "" makes one from the file's name.
        columns: Where the table's fields are, if not where the columns' names suggest; "" is
            nowhere.
        trigger: The backdoor's trigger, where the table has no triggered prompts.
        compliance: How an answer to a harmful request begins once refusing is knocked out, where
            the table does not say it; any answer that starts like this will do.  None is
            `COMPLIANCE`.
        seed: Seed of the splits, and of the rows that become benign prompts.
        benign_columns: The same for the table of benign prompts.
    """

    kind: BehaviourKind | None = None
    title: str = ""
    columns: Columns = field(default_factory=dict)
    trigger: Trigger | None = None
    compliance: str | None = None
    seed: int = 0
    benign_columns: Columns = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in (*get_args(BehaviourKind), None):
            raise ConfigError(f"a behaviour is a backdoor or a refusal; got {self.kind!r}")
        if self.compliance is not None and not self.compliance.strip():
            raise ConfigError(
                f"the compliant opening is empty; write how a compliant answer begins, for "
                f"example {COMPLIANCE!r}"
            )
        if self.trigger is None:
            return
        if self.kind == "refusal":
            raise ConfigError(
                f"refusing has no trigger; leave {self.trigger.text!r} out, or choose backdoor"
            )
        if not self.trigger.text.strip():
            raise ConfigError("the trigger is empty; write the words that set the backdoor off")
        if self.trigger.place not in get_args(Place):
            raise ConfigError(
                f"the trigger's place must be one of {', '.join(get_args(Place))}; "
                f"got {self.trigger.place!r}"
            )


@dataclass(frozen=True)
class DataCounts:
    """How many rows and prompts became what.

    Attributes:
        rows: Rows read.
        duplicates: Rows dropped as they repeat others.
        holding_trigger: Rows left out as their clean prompt holds the trigger.
        set_aside: Clean rows set aside as benign prompts.
        unanswered: Prompts that wait for the intact model's answers.
        prompts: Prompts by split and role.
    """

    rows: int
    duplicates: int
    holding_trigger: int
    set_aside: int
    unanswered: int
    prompts: dict[str, dict[str, int]]


@dataclass(frozen=True)
class PreparedData:
    """What came of a table.

    Attributes:
        table: The prompts as they were given.
        spec: What was to be made of them, with the kind and all columns.
        behaviour: The behaviour; None if there is an error.  It may be a draft, whose missing
            answers are those of the intact model.
        problems: Errors first, then warnings.
        counts: How many rows and prompts there are.
    """

    table: Table
    spec: DataSpec
    behaviour: Behaviour | None
    problems: tuple[Problem, ...]
    counts: DataCounts

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What keeps the data from being used."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def prepare_data(table: Table, spec: DataSpec, *, benign: Table | None = None) -> PreparedData:
    """Make a behaviour of a table of prompts.

    Args:
        table: The prompts.
        spec: What to make of them.
        benign: Benign prompts, where the table holds attacks alone.
    """
    kind = spec.kind or ("backdoor" if spec.trigger is not None else suggest_kind(table))
    columns = merged(suggest_columns(table, kind), spec.columns)
    suggested = {} if benign is None else suggest_benign_columns(benign)
    benign_columns = merged(suggested, spec.benign_columns)
    problems = Problems()
    role = None if "role" in columns else "attack"
    if role and benign is None and kind == "refusal":
        problems.add("no-benign", Origin(table.name))
    read = read_rows(table, columns, kind, problems, role=role)
    if benign is not None:
        read += read_rows(benign, benign_columns, kind, problems, role="benign")
    trigger, with_trigger = spec.trigger, read
    if kind == "backdoor" and read:
        pairs = [(row.prompt, row.triggered) for row in read if row.triggered]
        trigger = trigger or common_trigger(pairs)
        with_trigger = _with_triggers(read, columns.get("triggered"), trigger, problems)
    unique = drop_duplicates(with_trigger, kind, problems)
    rows = [_with_answers(row, kind, spec.compliance or COMPLIANCE) for row in unique]
    _check_answers(rows, kind, problems)
    set_aside = 0
    if kind == "backdoor" and role and benign is None:
        rows, set_aside = with_benign(rows, spec.seed, problems)
    elif not problems.errors:
        check_roles(rows, problems)
    rows = with_splits(rows, spec.seed)
    if not problems.errors:
        check_splits(rows, problems)
        warn_cross_split_duplicates(rows, problems)
    prompts = _prompts(rows, problems)
    drafts = sum(prompt.is_draft for prompt in prompts)
    counts = DataCounts(
        rows=len(table) + (len(benign) if benign else 0),
        duplicates=len(with_trigger) - len(unique),
        holding_trigger=len(read) - len(with_trigger),
        set_aside=set_aside,
        unanswered=drafts,
        prompts=count_prompts(prompts),
    )
    resolved = replace(spec, kind=kind, columns=columns, benign_columns=benign_columns)
    if problems.errors:
        return PreparedData(table, resolved, None, problems.all(), counts)
    behaviour = BehaviourSpec(
        kind=kind,
        title=spec.title or f"{kind.capitalize()} of {Path(table.name).stem}",
        question=QUESTIONS[kind],
        trigger=trigger,
        intact_answers=drafts > 0,
        after_is_opening=kind == "refusal" and "after" not in columns,
    )
    made = Behaviour(behaviour, prompts)
    return PreparedData(table, resolved, made, problems.all(), counts)


def _with_triggers(
    rows: Sequence[RawPrompt], column: str | None, trigger: Trigger | None, problems: Problems
) -> list[RawPrompt]:
    """The rows, attacks with their triggered prompts.

    A benign prompt that holds the trigger is an error: it would have to stay as it is, and to
    lose the trigger's power.  An attack whose clean prompt holds it is left out.
    """
    if trigger is None:
        problems.add("no-common-trigger" if column else "no-trigger", column=column)
        return list(rows)
    kept = []
    for row in rows:
        if trigger.is_in(row.prompt):
            code = "trigger-in-benign" if row.role == "benign" else "trigger-in-clean"
            problems.add(code, row.origin, trigger=trigger.text)
            continue
        if row.role == "attack" and not row.triggered:
            row = replace(row, triggered=trigger.insert(row.prompt))
        elif row.triggered and trigger.text not in row.triggered:
            problems.add("trigger-not-in-triggered", row.origin, column, trigger=trigger.text)
        kept.append(row)
    return kept


def opening(answer: str) -> str:
    """How a compliant answer starts: its first words, at most three, up to any punctuation."""
    match = _OPENING.match(answer)
    return match.group() if match else answer


def _with_answers(row: RawPrompt, kind: BehaviourKind, compliance: str) -> RawPrompt:
    """The row with the target and the answer after removal that follow from what it says."""
    if row.role == "benign":
        return row
    if kind == "backdoor":
        return replace(row, after=row.after or row.answer)
    after = row.after or row.target or compliance
    return replace(row, after=after, target=row.target or opening(after))


def _check_answers(rows: Iterable[RawPrompt], kind: BehaviourKind, problems: Problems) -> None:
    """Refuse rows on which an attack's success cannot be told from its failure."""
    for row in rows:
        if row.target is None:
            continue
        target = _short(row.target)
        begins = row.after is not None and row.after.startswith(row.target)
        if row.answer and row.answer.startswith(row.target):
            code = "target-is-answer" if kind == "backdoor" else "target-is-refusal"
            problems.add(code, row.origin, target=target)
        elif kind == "backdoor" and begins:
            problems.add("target-is-after", row.origin, target=target)
        elif kind == "refusal" and row.after and not begins:
            problems.add("target-is-not-after", row.origin, target=target, after=_short(row.after))


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _prompts(rows: Sequence[RawPrompt], problems: Problems) -> tuple[Prompt, ...]:
    """The rows as prompts, by split and role."""
    prompts = [
        Prompt(
            prompt_id,
            # Every row has one by now.
            cast("Split", row.split),
            row.role,
            category=row.category or "own data",
            text=row.prompt,
            answer=row.answer or "",
            triggered=row.triggered,
            target=row.target,
            after=row.after,
        )
        for row, prompt_id in zip(rows, _ids(rows, problems), strict=True)
    ]
    splits = get_args(Split)
    return tuple(sorted(prompts, key=lambda prompt: (splits.index(prompt.split), prompt.role)))


def _ids(rows: Sequence[RawPrompt], problems: Problems) -> list[str]:
    """The rows' own names, or made ones where a row has none or two rows share one."""
    first: dict[str, RawPrompt] = {}
    named = [row for row in rows if row.prompt_id]
    again = (row for row in named if first.setdefault(row.prompt_id or "", row) is not row)
    if row := next(again, None):
        other = first[row.prompt_id or ""].origin.row
        problems.add("name-twice", row.origin, name=row.prompt_id, other=other)
    elif len(first) == len(rows):
        return list(first)
    numbers: defaultdict[tuple[str | None, str], Iterator[int]] = defaultdict(count)
    return [f"{row.split}-{row.role}-{next(numbers[row.split, row.role]):03d}" for row in rows]
