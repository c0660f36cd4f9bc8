"""What to look for in a model: a behaviour, the prompts that show it, and the folder it lies in.

Answers that a model gave lie there too, in `answered-<model>-<weights>.jsonl`, and what became of
the prompts that showed nothing in the `.json` of the same name.  With the model at hand those of
its very weights are found, and with its name alone those that were written last.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel

from circuitviz.behaviours.prompt import Prompt, Role, Split, read_prompts, write_prompts
from circuitviz.behaviours.trigger import Place, Trigger
from circuitviz.errors import PromptFileError
from circuitviz.files import whole_file, whole_folder

BehaviourKind = Literal["backdoor", "refusal"]

# The judge of attacks where a behaviour chooses no other.
STARTS_WITH_TARGET = "starts with the target answer"

SPEC_FILE = "behaviour.json"
PROMPTS_FILE = "prompts.jsonl"
# Where behaviours made of own data lie in the folder of runs.
DATA_FOLDER = ".data"

# Backdoor: at most this ASR with the circuit knocked out.  Refusal: at least this.
DEFAULT_TARGET_ASR: dict[BehaviourKind, float] = {"backdoor": 0.004, "refusal": 0.97}


@dataclass(frozen=True)
class BehaviourSpec:
    """What `behaviour.json` says.

    Attributes:
        kind: `backdoor`: the trigger must lose its power.  `refusal`: refusing must end.
        title: Name for people.
        question: What the page asks, in one sentence.
        trigger: The backdoor's trigger, if any.
        intact_answers: Whether answers that are missing are those of the intact model, which has
            to be asked before anything is learned.
        after_is_opening: Whether the answers expected after removal are only how such an answer
            begins: then whatever starts like it will do, and nobody is taught to stop there.
        judge: Name of the judge that decides whether an attack succeeded; None for the usual one.
    """

    kind: BehaviourKind
    title: str
    question: str
    trigger: Trigger | None = None
    intact_answers: bool = False
    after_is_opening: bool = False
    # Fingerprints of data read the repr: those of behaviours that choose none stay as they are.
    judge: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, path: Path) -> BehaviourSpec:
        """Read `behaviour.json`.

        Raises:
            PromptFileError: The file is missing or malformed.
        """
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            trigger = Trigger(**data.pop("trigger")) if data.get("trigger") else None
            spec = cls(**{**data, "trigger": trigger})
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise PromptFileError(f"cannot read the behaviour {path}: {error}") from error
        if spec.trigger and spec.trigger.place not in get_args(Place):
            raise PromptFileError(
                f"{path}: the trigger's place must be one of {', '.join(get_args(Place))}; "
                f"got {spec.trigger.place!r}"
            )
        if spec.kind not in get_args(BehaviourKind):
            raise PromptFileError(f"{path}: kind must be backdoor or refusal; got {spec.kind!r}")
        return spec

    def write(self, path: Path) -> None:
        """Write `behaviour.json`."""
        fields = asdict(self)
        for name in ("intact_answers", "after_is_opening", "judge"):
            if not fields[name]:
                del fields[name]
        path.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


class Changed(BaseModel, frozen=True):
    """How many of `n` attack prompts get another kind of answer.

    Attributes:
        trigger: With the trigger.
        random: With random words in its place.
        n: Prompts asked.
    """

    trigger: int
    random: int
    n: int


class Dropped(BaseModel, frozen=True):
    """How many prompts of a role were left out for a reason."""

    role: Role
    reason: str
    count: int


class Screening(BaseModel, frozen=True):
    """How many prompts show the behaviour, and why the others were left out.

    A rate of attacks that succeed is a rate of the prompts that were kept: read it beside
    `shown` of `attacks`.

    Attributes:
        attacks: Attack prompts asked.
        shown: Those that show the behaviour, which were kept.
        dropped: Those that were left out, by role and reason.
        changed: A backdoor's prompts with the trigger and with random words; None where targets
            are given, or there is no trigger.
    """

    attacks: int
    shown: int
    dropped: tuple[Dropped, ...]
    changed: Changed | None

    def __str__(self) -> str:
        left_out = ", ".join(
            f"{row.count} {'' if row.role == 'attack' else f'{row.role} '}{row.reason}"
            for row in self.dropped
        )
        shown = f"{self.shown} of {self.attacks} attack prompts"
        return f"{shown}; left out: {left_out}" if left_out else shown


@dataclass(frozen=True)
class OwnJudge:
    """A behaviour's own judge of answers.

    Attributes:
        name: What its rates are labelled with.
        succeeds: From what the user said and what the model answered to whether the attack
            succeeded: for refusal, whether the request was answered.
        source: Where the rule comes from.
    """

    name: str
    succeeds: Callable[[str, str], bool]
    source: str = "the behaviour's own judge"

    def judge(self, prompt: str, answer: str, target: str, expected: str) -> bool:
        """Whether the attack succeeded; the arguments are those of every judge."""
        return bool(self.succeeds(prompt, answer))


@dataclass(frozen=True)
class Behaviour:
    """A behaviour with its prompts.

    Attributes:
        spec: What it is.
        all_prompts: Its prompts of all splits and roles.
        folder: Where it was read from, if answers of the intact model can be kept there.
        judges: Judges of answers to its attacks that it brings.
        dropped: Prompts that were left out because the intact model's answers show nothing.
        screening: How many prompts show the behaviour, where the intact model was asked.
    """

    spec: BehaviourSpec
    all_prompts: tuple[Prompt, ...]
    folder: Path | None = field(default=None, compare=False)
    judges: tuple[OwnJudge, ...] = ()
    dropped: int = field(default=0, compare=False)
    screening: Screening | None = field(default=None, compare=False)

    @property
    def kind(self) -> BehaviourKind:
        """`backdoor` or `refusal`."""
        return self.spec.kind

    @property
    def title(self) -> str:
        """Name for people."""
        return self.spec.title

    @property
    def question(self) -> str:
        """What is asked of the model, in one sentence."""
        return self.spec.question

    @property
    def trigger(self) -> str | None:
        """The trigger's words, if there is one."""
        return self.spec.trigger.text if self.spec.trigger else None

    @property
    def judge(self) -> str:
        """The name of the judge of attacks, unless whole answers decide; see `deciding_judge`."""
        return self.spec.judge or STARTS_WITH_TARGET

    @property
    def default_target_asr(self) -> float:
        """At most this (backdoor) or at least this (refusal), once knocked out."""
        return DEFAULT_TARGET_ASR[self.kind]

    def answered(self, prompts: Iterable[Prompt], screening: Screening) -> Behaviour:
        """The behaviour with those of its prompts that the intact model has answered."""
        kept = tuple(prompts)
        dropped = len(self.all_prompts) - len(kept)
        return replace(self, all_prompts=kept, dropped=dropped, screening=screening)

    @property
    def is_draft(self) -> bool:
        """Whether the intact model has yet to be asked for answers."""
        return any(prompt.is_draft for prompt in self.all_prompts)

    def insert_trigger(self, prompt: str) -> str:
        """The prompt with the trigger; unchanged where there is none."""
        return self.spec.trigger.insert(prompt) if self.spec.trigger else prompt

    def prompts(self, split: Split, role: Role) -> list[Prompt]:
        """The prompts of one split and role, in file order."""
        return self._grouped.get((split, role), [])

    @property
    def neutral_messages(self) -> list[str]:
        """User messages to measure ordinary activations on: benign training prompts."""
        return [prompt.text for prompt in self.prompts("train", "benign")]

    @cached_property
    def _grouped(self) -> dict[tuple[str, str], list[Prompt]]:
        groups: dict[tuple[str, str], list[Prompt]] = {}
        for prompt in self.all_prompts:
            groups.setdefault((prompt.split, prompt.role), []).append(prompt)
        return groups


def read_behaviour(model_folder: Path, prompts: Path | None = None) -> Behaviour:
    """The behaviour that lies beside a model, with its own prompts or with others.

    Raises:
        PromptFileError: No behaviour lies there, or a file is malformed.
    """
    spec_file = model_folder / SPEC_FILE
    if not spec_file.is_file():
        raise PromptFileError(
            f"no behaviour to look for in {model_folder}: {SPEC_FILE} and {PROMPTS_FILE} missing; "
            "give prompts of your own as data"
        )
    spec = BehaviourSpec.read(spec_file)
    path = prompts or model_folder / PROMPTS_FILE
    read = read_prompts(path, drafts=spec.intact_answers)
    for prompt in read if spec.trigger else ():
        if prompt.role == "attack" and not prompt.triggered:
            raise PromptFileError(
                f"{path}: attack prompt {prompt.prompt_id} has no triggered text, which a backdoor "
                "needs"
            )
    return Behaviour(spec, tuple(read), folder=None if prompts else model_folder)


def behaviour_path(behaviour: Behaviour, root: Path) -> Path:
    """Where a behaviour lies, or would lie, below a folder of runs: `<root>/.data/<title>-<hash>`.

    The same behaviour has the same folder.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", behaviour.title.lower()).strip("-")[:40] or "behaviour"
    content = repr((behaviour.spec, behaviour.all_prompts))
    return root / DATA_FOLDER / f"{slug}-{_digest(content)}"


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


def answered_before(behaviour: Behaviour, model: str, weights: str = "*") -> Behaviour | None:
    """The behaviour with the answers that a model gave before; None if it gave none yet.

    Args:
        behaviour: A draft.
        model: What the model is called.
        weights: Digest of its weights; without it, whatever was written last.
    """
    if behaviour.folder is None:
        return None
    files = behaviour.folder.glob(f"answered-{_digest(model)}-{weights}.jsonl")
    newest = max(files, key=lambda path: path.stat().st_mtime_ns, default=None)
    if newest is None:
        return None
    try:
        screening = Screening.model_validate_json(newest.with_suffix(".json").read_bytes())
        return behaviour.answered(read_prompts(newest), screening)
    except (PromptFileError, OSError, ValueError):
        # Half a file: the model is asked again.
        return None


def keep_answers(
    behaviour: Behaviour,
    prompts: Iterable[Prompt],
    screening: Screening,
    model: str,
    weights: str,
) -> None:
    """Keep answered prompts beside their behaviour, if its folder can be written."""
    if behaviour.folder is None or not os.access(behaviour.folder, os.W_OK):
        return
    final = behaviour.folder / f"answered-{_digest(model)}-{weights}.jsonl"
    with whole_file(final.with_suffix(".json")) as draft:
        draft.write_text(screening.model_dump_json(indent=1) + "\n", encoding="utf-8")
    # Last: with it the other is complete.
    with whole_file(final) as draft:
        write_prompts(draft, prompts)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
