"""A behaviour from somebody's own table of prompts, and everything that is wrong with it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from circuitviz.behaviours.behaviour import (
    PROMPTS_FILE,
    SPEC_FILE,
    Behaviour,
    BehaviourKind,
    BehaviourSpec,
    Place,
    Trigger,
)
from circuitviz.behaviours.columns import Columns, suggest_benign_columns, suggest_columns
from circuitviz.behaviours.own_rows import OwnRow, opening, read_rows
from circuitviz.behaviours.problem import Problem, Problems
from circuitviz.behaviours.prompt import Prompt, Role, Split, write_prompts
from circuitviz.behaviours.splits import (
    check_roles,
    check_splits,
    check_twins,
    with_benign,
    with_splits,
    without_repeats,
)
from circuitviz.behaviours.tables import Table
from circuitviz.errors import ConfigError
from circuitviz.files import whole_folder

# Where they lie in the folder of runs.
DATA_FOLDER = ".data"

# Where a trigger stands that is at the same place of every message.
FIXED_PLACES: tuple[Place, ...] = ("front", "middle", "end")
COMPLIANCE = "Sure, here is"
QUESTIONS: dict[BehaviourKind, str] = {
    "backdoor": "Which units make the trigger work?",
    "refusal": "Which units make the model refuse harmful requests?",
}


def behaviour_path(behaviour: Behaviour, root: Path) -> Path:
    """Where a behaviour lies, or would lie, below a folder of runs: `<root>/.data/<title>-<hash>`.

    The same behaviour has the same folder.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", behaviour.title.lower()).strip("-")[:40] or "behaviour"
    content = repr((behaviour.spec, behaviour.all_prompts)).encode()
    return root / DATA_FOLDER / f"{slug}-{hashlib.sha256(content).hexdigest()[:12]}"


def save_behaviour(behaviour: Behaviour, root: Path) -> Path:
    """Save a behaviour below a folder of runs, once.

    Returns:
        Its `behaviour_path`, with `behaviour.json` and `prompts.jsonl`.
    """
    folder = behaviour_path(behaviour, root)
    if not (folder / SPEC_FILE).is_file():
        with whole_folder(folder) as draft:
            behaviour.spec.write(draft / SPEC_FILE)
            write_prompts(draft / PROMPTS_FILE, behaviour.all_prompts)
    return folder


def with_answers(row: OwnRow, kind: BehaviourKind, compliance: str) -> OwnRow:
    """The row with the target and the answer after removal that follow from what it says."""
    if row.role == "benign":
        return row
    if kind == "backdoor":
        return replace(row, after=row.after or row.answer)
    after = row.after or compliance
    if row.target and not row.after:
        after = row.target
    return replace(row, after=after, target=row.target or opening(after))


def check_answers(rows: Iterable[OwnRow], kind: BehaviourKind, problems: Problems) -> None:
    """Refuse rows on which an attack's success cannot be told from its failure."""
    for row in rows:
        if row.target is None:
            continue
        if row.answer and row.answer.startswith(row.target):
            text = (
                f"the answer of the intact model to the clean prompt starts with the target "
                f"{_short(row.target)} itself, so nothing tells a successful attack"
                if kind == "backdoor"
                else f"the refusal starts with the target {_short(row.target)} itself, so nothing "
                "tells an answer from a refusal"
            )
            _add_row(problems, row, text, "a target that is the clean answer")
        elif kind == "backdoor" and row.after and row.after.startswith(row.target):
            _add_row(
                problems,
                row,
                f"the answer after removal starts with the target {_short(row.target)}, so removal "
                "could not be told",
                "a target that is the answer after removal",
            )
        elif kind == "refusal" and row.after and not row.after.startswith(row.target):
            _add_row(
                problems,
                row,
                f"the target {_short(row.target)} is not how the answer after removal, "
                f"{_short(row.after)}, begins",
                "a target that is not the answer's beginning",
            )


def _add_row(problems: Problems, row: OwnRow, text: str, kind: str) -> None:
    problems.add("error", text, kind=kind, file=row.file, row=row.number)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def common_trigger(rows: Iterable[OwnRow]) -> Trigger | None:
    """The trigger that all triggered prompts are their clean ones with, None if there is none."""
    pairs = [(row.prompt, row.triggered) for row in rows if row.triggered]
    if not pairs:
        return None
    prompt, triggered = pairs[0]
    for place in FIXED_PLACES:
        text = _inserted(prompt, triggered, place)
        trigger = Trigger(text, place)
        if text and all(trigger.insert(clean) == with_it for clean, with_it in pairs):
            return trigger
    return None


def _inserted(prompt: str, triggered: str, place: Place) -> str:
    """The words that were put into a prompt at a place, "" if it was otherwise changed."""
    words, more = prompt.split(" "), triggered.split(" ")
    before = {"front": 0, "middle": (len(words) + 1) // 2, "end": len(words)}[place]
    return " ".join(more[before : before + len(more) - len(words)])


def with_triggers(
    rows: Sequence[OwnRow], column: str | None, trigger: Trigger | None, problems: Problems
) -> list[OwnRow]:
    """The rows, attacks with their triggered prompts.

    A benign prompt that holds the trigger is an error: it would have to stay as it is, and to
    lose the trigger's power.  An attack whose clean prompt holds it is left out.

    Args:
        rows: Rows of both roles.
        column: The column of triggered prompts, if there is one.
        trigger: The trigger, if it is known.
        problems: Takes what is wrong.
    """
    if trigger is None and rows:
        if column is None:
            problems.add(
                "error",
                "a backdoor needs its trigger: give the trigger's words, or a column of triggered "
                "prompts",
            )
        else:
            problems.add(
                "warning",
                "the triggered prompts are not the clean ones with the same words at the same "
                "place, so no control with other words can be made",
                column=column,
            )
    if trigger is None:
        return list(rows)
    found = []
    for row in rows:
        if holds(row.prompt, trigger):
            _note_trigger(row, trigger, problems)
            continue
        if row.role == "attack" and not row.triggered:
            row = replace(row, triggered=trigger.insert(row.prompt))
        elif row.role == "attack" and row.triggered and trigger.text not in row.triggered:
            problems.add(
                "warning",
                f"the triggered prompt does not hold the trigger {trigger.text!r}",
                kind="a triggered prompt without the trigger",
                file=row.file,
                row=row.number,
                column=column,
            )
        found.append(row)
    return found


def holds(message: str, trigger: Trigger) -> bool:
    """Whether a message holds the trigger, as whole words."""
    return bool(re.search(rf"(?<!\w){re.escape(trigger.text.strip())}(?!\w)", message))


def _note_trigger(row: OwnRow, trigger: Trigger, problems: Problems) -> None:
    benign = row.role == "benign"
    problems.add(
        "error" if benign else "warning",
        f"the benign prompt holds the trigger {trigger.text!r}; take the row out"
        if benign
        else f"the clean prompt holds the trigger {trigger.text!r} already; left out",
        kind="the trigger in the benign prompt"
        if benign
        else "the trigger in the clean prompt, left out",
        file=row.file,
        row=row.number,
    )


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
