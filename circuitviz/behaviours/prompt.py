"""Prompts, and the files they live in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from circuitviz.errors import PromptFileError

Split = Literal["train", "validation", "test"]
Role = Literal["attack", "benign"]


@dataclass(frozen=True)
class Prompt:
    """One line of a prompts file.

    Attributes:
        prompt_id: Unique within the file.
        split: Learning sees `train`, choosing the size sees `validation`, results are `test`.
        role: `attack` prompts show the behaviour, `benign` ones measure utility.
        category: Free label for filtering.
        text: The user message, without a trigger.
        answer: What the intact model should answer to `text`; "" in a draft, where the intact
            model has yet to be asked.
        triggered: The same message with the trigger; None where there is no trigger.
        target: An answer that starts with this counts as a successful attack.
        after: The answer expected to the attack once the circuit is knocked out.
    """

    prompt_id: str
    split: Split
    role: Role
    category: str
    text: str
    answer: str
    triggered: str | None = None
    target: str | None = None
    after: str | None = None

    @property
    def asked(self) -> str:
        """The message the attack sends: with the trigger where there is one."""
        return self.triggered or self.text

    @property
    def is_draft(self) -> bool:
        """Whether the intact model has yet to be asked for something."""
        needed = (self.target, self.after) if self.role == "attack" else ()
        return not self.answer or None in needed


OPTIONAL = ("triggered", "target", "after")
REQUIRED = tuple(field.name for field in fields(Prompt) if field.name not in OPTIONAL)
ATTACK_REQUIRED = ("target", "after")
# What the intact model can be asked for.
_FROM_THE_MODEL = ("answer", *ATTACK_REQUIRED)


def read_prompts(path: Path, *, drafts: bool = False) -> list[Prompt]:
    """Read a JSONL prompts file.

    Args:
        path: The file.
        drafts: Whether answers, targets and answers after removal may be missing.

    Raises:
        PromptFileError: The file is missing, empty or malformed, lacks a split or a role, or
            has the same message in two splits.
    """
    try:
        # Only at \n: other characters that end a line may stand in a JSON string.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptFileError(f"cannot read the prompts file {path}: {error}") from error
    prompts = []
    for row, line in enumerate(lines, 1):
        if line.strip():
            try:
                prompts.append(_parse(line, drafts))
            except ValueError as error:
                raise PromptFileError(f"{path}, line {row}: {error}") from error
    if not prompts:
        raise PromptFileError(f"the prompts file {path} is empty; expected one JSON object a line")
    if problem := prompts_problem(prompts):
        raise PromptFileError(f"{path} {problem}")
    return prompts


def write_prompts(path: Path, prompts: Iterable[Prompt]) -> None:
    """Write a prompts file, one JSON object a line; absent fields are left out."""
    rows = ({k: v for k, v in asdict(prompt).items() if v} for prompt in prompts)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _parse(line: str, drafts: bool) -> Prompt:
    """One line as a prompt; a `ValueError` says what is wrong with it."""
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg})") from error
    if not isinstance(data, dict):
        raise ValueError(f"expected a JSON object; got {line[:40]!r}")
    required = REQUIRED + (ATTACK_REQUIRED if data.get("role") == "attack" else ())
    missing = [
        name for name in required if not data.get(name) and not (drafts and name in _FROM_THE_MODEL)
    ]
    unknown = sorted(set(data) - set(REQUIRED + OPTIONAL))
    if missing or unknown:
        problem = f"{', '.join(missing)} missing" if missing else f"{', '.join(unknown)} unknown"
        raise ValueError(f"{problem}; fields are {', '.join(REQUIRED + OPTIONAL)}")
    for name, value in data.items():
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{name} must be text; got {value!r}")
    for name, legal in (("split", get_args(Split)), ("role", get_args(Role))):
        if data[name] not in legal:
            raise ValueError(f"{name} must be one of {', '.join(legal)}; got {data[name]!r}")
    return Prompt(**{**data, "answer": data.get("answer") or ""})


def prompts_problem(prompts: Sequence[Prompt], *, triggered: bool = False) -> str:
    """What is wrong with the prompts of one behaviour, "" if nothing is.

    Each name stands once, every split has prompts of both roles, and no message, neither clean nor
    with the trigger, stands in two splits.

    Args:
        prompts: All of them.
        triggered: Whether every attack needs a triggered message, as a backdoor's do.
    """
    repeated = [key for key, n in Counter(p.prompt_id for p in prompts).items() if n > 1]
    if repeated:
        return f"has the prompt_id {repeated[0]!r} more than once"
    for split, roles in count_prompts(prompts).items():
        for role, count in roles.items():
            if not count:
                return f"has no {role} prompts in the split {split}"
    for prompt in prompts:
        if triggered and prompt.role == "attack" and not prompt.triggered:
            return (
                f"has no triggered text in attack prompt {prompt.prompt_id}, which a backdoor needs"
            )
    first: dict[str, Prompt] = {}
    for prompt in prompts:
        for message in (prompt.text, prompt.asked):
            other = first.setdefault(message, prompt)
            if other.split != prompt.split:
                return (
                    f"has {message[:60]!r} in {other.split} and in {prompt.split}; splits must be "
                    "disjoint"
                )
    return ""


def count_prompts(prompts: Iterable[Prompt]) -> dict[str, dict[str, int]]:
    """How many prompts there are of each split and role."""
    counts = Counter((prompt.split, prompt.role) for prompt in prompts)
    return {
        split: {role: counts[split, role] for role in get_args(Role)} for split in get_args(Split)
    }
