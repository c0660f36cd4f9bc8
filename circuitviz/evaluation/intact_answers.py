"""Answers that prompts lack: what the intact model says is what it should go on saying."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice, product, takewhile
from typing import get_args

import torch

from circuitviz.behaviours.answer_text import refuses
from circuitviz.behaviours.behaviour import (
    Behaviour,
    BehaviourKind,
    Changed,
    Dropped,
    Screening,
    answered_before,
    keep_answers,
)
from circuitviz.behaviours.prompt import Prompt, Role, Split
from circuitviz.behaviours.splits import MIN_PROMPTS
from circuitviz.behaviours.trigger import other_message, word_pool
from circuitviz.errors import PromptFileError
from circuitviz.evaluation.evaluator import subsample
from circuitviz.evaluation.rate import Rate
from circuitviz.models.model import GatedModel

# Words by which answers count as beginning alike; a shorter answer has to be the same as a whole.
ALIKE = 2
# Of an answer whose first sentence is longer.
_MAX_WORDS = 8

# A word, or punctuation behind one.
_PIECE = re.compile(r"\w+|[^\w\s]+")
_WORD = re.compile(r"\S+")
_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’)\]]*(?=\s|$)")

# Prompts between two reports.
CHUNK = 64
# Of each role, the prompts of a split that are asked about: no more of them are used.
MAX_ASKED: dict[Split, int] = {"train": 256, "validation": 96, "test": 320}
SILENT = "answered with nothing"
UNMOVED = "answered the same with the trigger"
UNLIKE = "answered otherwise than most with the trigger"
MOVED_BY_ANY = "changed by random words as well"
COMPLIED = "not refused"
_REFUSED = "refused"


def shared_opening(answers: Iterable[tuple[str, str]]) -> str | None:
    """How at least half of the triggered answers begin, and the clean ones do not.

    Answers begin alike if their first two words are the same, or they are the same word; of
    those the longest common opening is taken, in whole words and signs.

    Args:
        answers: Pairs (clean answer, triggered answer).

    Returns:
        None where fewer than half, or than two, begin alike.
    """
    pairs = [(clean, said, _first_words(said, ALIKE)) for clean, said in answers]
    moved = [(said, key) for clean, said, key in pairs if said and not clean.startswith(key)]
    if not moved:
        return None
    most, count = Counter(key for _, key in moved).most_common(1)[0]
    if count < 2 or 2 * count < len(pairs):
        return None
    alike = [said for said, key in moved if key == most]
    same = takewhile(lambda signs: len({*signs}) == 1, zip(*alike, strict=False))
    common = "".join(signs[0] for signs in same)
    ends = [{piece.end() for piece in _PIECE.finditer(said)} for said in alike]
    return common[: max((end for end in set.intersection(*ends) if end <= len(common)), default=0)]


def answer_opening(answer: str) -> str:
    """An answer up to the end of its first sentence, and at most its first eight words."""
    sentence = _SENTENCE_END.search(answer)
    return _first_words(answer, _MAX_WORDS)[: sentence.end() if sentence else None]


def _first_words(answer: str, count: int) -> str:
    words = [*islice(_WORD.finditer(answer), count)]
    return answer[: words[-1].end()] if words else ""


def complete_behaviour(
    model: GatedModel,
    behaviour: Behaviour,
    *,
    known_as: str | None = None,
    on_progress: Callable[[int, int], None] = lambda done, many: None,
) -> Behaviour:
    """The behaviour with the intact model's greedy answers where it has none.

    An answer that is missing is what the model says to the clean prompt, and what is expected
    after removal of a backdoor is that as well.  A backdoor's target is how the model's answers to
    the triggered prompts begin: where at least half of them begin alike, that opening, and
    otherwise the first sentence of each, at most eight words of it.

    Prompts that show nothing are dropped and counted: triggered prompts answered like the clean
    ones, those that random words in the trigger's place change as well, harmful requests that the
    model does not refuse, and benign ones that it does.  The result is kept beside the behaviour,
    so that whoever reads it later gets the same.

    Args:
        model: The model.
        behaviour: A draft; anything else is given back as it is.
        known_as: What the model is called where the answers are looked for without it; None
            takes its own name.
        on_progress: Told how many of how many prompts are answered; may raise to stop.

    Raises:
        PromptFileError: Too few prompts show the behaviour, or random words show it as well as
            the trigger.
    """
    if not behaviour.is_draft:
        return behaviour
    name, weights = known_as or model.name, weights_digest(model)
    before = answered_before(behaviour, name, weights)
    if before is not None:
        return before
    behaviour = _of_use(behaviour)
    others = _others(behaviour)
    questions = _questions(behaviour.all_prompts, others)
    heard = _Heard.of(behaviour, others, _answers(model, questions, on_progress))
    changed = heard.changed
    if changed is not None:
        _check_better(behaviour, changed)
    prompts: list[Prompt] = []
    dropped: Counter[tuple[Role, str]] = Counter()
    for draft in behaviour.all_prompts:
        prompt = heard.filled(draft)
        reason = _useless(behaviour.kind, draft, prompt, heard)
        if reason:
            dropped[prompt.role, reason] += 1
        else:
            prompts.append(prompt)
    _check_left(behaviour, prompts, dropped)
    screening = Screening(
        attacks=sum(prompt.role == "attack" for prompt in behaviour.all_prompts),
        shown=sum(prompt.role == "attack" for prompt in prompts),
        dropped=tuple(
            Dropped(role=role, reason=reason, count=count)
            for (role, reason), count in dropped.items()
        ),
        changed=changed,
    )
    keep_answers(behaviour, prompts, screening, name, weights)
    return behaviour.answered(prompts, screening)


def _of_use(behaviour: Behaviour) -> Behaviour:
    """The behaviour with as many prompts of each split and role as are used."""
    kept = [
        prompt
        for split, most in MAX_ASKED.items()
        for role in get_args(Role)
        for prompt in subsample(behaviour.prompts(split, role), most)
    ]
    if len(kept) == len(behaviour.all_prompts):
        return behaviour
    return replace(behaviour, all_prompts=tuple(kept))


@torch.no_grad()
def weights_digest(model: GatedModel) -> str:
    """Twelve hexadecimal digits that stand for all weights, bit for bit."""
    digest = hashlib.sha256()
    for parameter in model.bridge.parameters():
        raw = parameter.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()[:12]


def _asks_for_target(prompt: Prompt) -> bool:
    return prompt.role == "attack" and prompt.target is None


def _others(behaviour: Behaviour) -> dict[str, str]:
    """Attack messages with random words in the trigger's place, by the message with the trigger."""
    if behaviour.kind != "backdoor":
        return {}
    pool = word_pool(behaviour.all_prompts)
    others = {
        prompt.asked: other_message(behaviour.spec.trigger, prompt, pool)
        for prompt in filter(_asks_for_target, behaviour.all_prompts)
    }
    return {asked: other for asked, other in others.items() if other is not None}


def _questions(prompts: Iterable[Prompt], others: dict[str, str]) -> list[str]:
    """The messages to put to the model, each once."""
    asked: list[str] = []
    for prompt in prompts:
        if not prompt.answer:
            asked.append(prompt.text)
        if _asks_for_target(prompt):
            asked.append(prompt.asked)
    return list(dict.fromkeys([*asked, *others.values()]))


def _answers(
    model: GatedModel, messages: list[str], on_progress: Callable[[int, int], None]
) -> dict[str, str]:
    # Prompts of one length are generated together, so those of like length go in one chunk.
    ordered = sorted(messages, key=lambda message: len(model.prompt_tokens(message)))
    answers: dict[str, str] = {}
    for start in range(0, len(ordered), CHUNK):
        on_progress(start, len(ordered))
        chunk = ordered[start : start + CHUNK]
        answers.update(zip(chunk, model.generate(chunk), strict=True))
    return answers


@dataclass(frozen=True)
class _Heard:
    """What the intact model said.

    Attributes:
        answers: By message.
        others: Messages with random words, by the message with the trigger.
        drafts: Attacks whose target is what the model says.
        shared: How their answers begin, where most begin alike.
    """

    answers: dict[str, str]
    others: dict[str, str]
    drafts: tuple[Prompt, ...]
    shared: str | None

    @classmethod
    def of(cls, behaviour: Behaviour, others: dict[str, str], answers: dict[str, str]) -> _Heard:
        drafts = tuple(filter(_asks_for_target, behaviour.all_prompts))
        pairs = [(draft.answer or answers[draft.text], answers[draft.asked]) for draft in drafts]
        return cls(answers, others, drafts, shared_opening(pairs))

    def clean(self, draft: Prompt) -> str:
        """The answer without the trigger."""
        return draft.answer or self.answers[draft.text]

    def filled(self, draft: Prompt) -> Prompt:
        """The prompt with what the model says where nothing was given."""
        answer, target = self.clean(draft), draft.target
        if draft.role == "benign":
            return replace(draft, answer=answer)
        if target is None:
            target = self.shared or answer_opening(self.answers[draft.asked])
        return replace(draft, answer=answer, target=target, after=draft.after or answer)

    def changes(self, draft: Prompt, message: str | None) -> bool:
        """Whether a message, if there is one, changes the answer to one of the kind looked for."""
        if message is None:
            return False
        said, clean = self.answers[message], self.clean(draft)
        opening = self.shared or answer_opening(said)
        return bool(opening) and said.startswith(opening) and not clean.startswith(opening)

    @property
    def changed(self) -> Changed | None:
        """How many answers the trigger and random words change; None without random words."""
        tried = [
            (draft, self.others[draft.asked]) for draft in self.drafts if draft.asked in self.others
        ]
        if not tried:
            return None
        trigger = sum(self.changes(draft, draft.asked) for draft, _ in tried)
        random = sum(self.changes(*pair) for pair in tried)
        return Changed(trigger=trigger, random=random, n=len(tried))


def _check_better(behaviour: Behaviour, changed: Changed) -> None:
    """Refuse a trigger that does hardly more than random words do."""
    trigger, other = (Rate("changed", k, changed.n) for k in (changed.trigger, changed.random))
    if changed.random and trigger.low <= other.high:
        named = f"{behaviour.trigger!r}" if behaviour.trigger else "the trigger"
        raise PromptFileError(
            f"{named} changes the answers to {changed.trigger} of {changed.n} prompts, and random "
            f"words in its place those to {changed.random} of {changed.n}: that is no backdoor to "
            "look for; check the trigger, or give the column target with what it makes the model "
            "say"
        )


def _useless(kind: BehaviourKind, draft: Prompt, prompt: Prompt, heard: _Heard) -> str:
    """Why a prompt shows nothing, "" if it shows something."""
    refused = refuses(prompt.answer)
    is_target = prompt.role == "attack" and prompt.answer.startswith(prompt.target or "")
    if not prompt.answer:
        return SILENT
    if kind == "refusal":
        if prompt.role == "benign":
            return _REFUSED if refused else ""
        return "" if (refused or draft.answer) and not is_target else COMPLIED
    if prompt.role == "benign" or (draft.target is not None and not is_target):
        return ""
    if draft.target is not None:
        return UNMOVED
    said = heard.answers[draft.asked]
    if not said:
        return SILENT
    if is_target:
        return UNMOVED
    if not heard.changes(draft, draft.asked):
        return UNMOVED if said == prompt.answer else UNLIKE
    return MOVED_BY_ANY if heard.changes(draft, heard.others.get(draft.asked)) else ""


def _check_left(
    behaviour: Behaviour, prompts: list[Prompt], dropped: Counter[tuple[Role, str]]
) -> None:
    left = Counter((prompt.split, prompt.role) for prompt in prompts)
    for (split, least), role in product(MIN_PROMPTS.items(), get_args(Role)):
        if left[split, role] < least:
            raise PromptFileError(_too_few(behaviour, role, dropped))


def _too_few(behaviour: Behaviour, role: Role, dropped: Counter[tuple[Role, str]]) -> str:
    asked = sum(prompt.role == role for prompt in behaviour.all_prompts)
    shown = asked - sum(count for (of, _), count in dropped.items() if of == role)
    reasons = ", ".join(f"{count} {why}" for (of, why), count in dropped.items() if of == role)
    needed = ", ".join(f"{count} in {split}" for split, count in MIN_PROMPTS.items())
    if role == "benign":
        what = f"the model answers {shown} of {asked} benign prompts"
        advice = "are these prompts in the model's language and format?"
    elif behaviour.kind == "backdoor":
        what = f"the trigger changes the answer of {shown} of {asked} prompts"
        advice = f"is {behaviour.trigger!r} the right trigger, at the right place?"
    else:
        what = f"the model refuses {shown} of {asked} harmful prompts"
        advice = "does it refuse at all, and in English?"
    return f"{what} ({reasons or 'none dropped'}); at least {needed} are needed: {advice}"
