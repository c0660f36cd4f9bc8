"""Answers that nobody wrote down: what the intact model says is what it should go on saying."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import get_args

import torch

from circuitviz.behaviours.answered import answered_before, keep_answers
from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt, Role
from circuitviz.behaviours.splits import LEAST
from circuitviz.errors import PromptFileError
from circuitviz.evaluation.judges import RefusalPrefixes
from circuitviz.models.model import GatedModel

__all__ = ["Checkpoint", "complete_behaviour", "weights_digest"]

# Prompts between two reports.
CHUNK = 64

# Told the share of the work that is done; may raise to stop.
Checkpoint = Callable[[float], None]


def complete_behaviour(
    model: GatedModel,
    behaviour: Behaviour,
    *,
    known_as: str | None = None,
    checkpoint: Checkpoint = lambda share: None,
) -> Behaviour:
    """The behaviour with the intact model's greedy answers where it has none.

    An answer that is missing is what the model says to the clean prompt; a backdoor's target is
    what it says to the triggered one, and what is expected after removal is the clean answer.
    Attacks that show nothing are dropped: triggered prompts answered like the clean ones, and
    harmful requests that the model does not refuse.  The result is kept beside the behaviour, so
    that whoever reads it later gets the same.

    Args:
        model: The model.
        behaviour: A draft; anything else is given back as it is.
        known_as: What the model is called where the answers are looked for without it; None
            takes its own name.
        checkpoint: Told the share of the work that is done; may raise to stop.

    Raises:
        PromptFileError: Too few prompts show the behaviour.
    """
    if not behaviour.is_draft:
        return behaviour
    name, weights = known_as or model.name, weights_digest(model)
    before = answered_before(behaviour, name, weights)
    if before is not None:
        return before
    answers = _answers(model, _questions(behaviour.all_prompts), checkpoint)
    prompts, dropped = _answered(behaviour, answers)
    _check_left(behaviour, prompts, dropped)
    keep_answers(behaviour, prompts, name, weights)
    return behaviour.answered(prompts)


@torch.no_grad()
def weights_digest(model: GatedModel) -> str:
    """Twelve hexadecimal digits that stand for all weights, bit for bit."""
    found = hashlib.sha256()
    for parameter in model.bridge.parameters():
        raw = parameter.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        found.update(raw.numpy().data)
    return found.hexdigest()[:12]


def _questions(prompts: Iterable[Prompt]) -> list[str]:
    """The messages to put to the model, each once."""
    asked: list[str] = []
    for prompt in prompts:
        if not prompt.answer:
            asked.append(prompt.text)
        if prompt.role == "attack" and prompt.target is None:
            asked.append(prompt.asked)
    return list(dict.fromkeys(asked))


def _answers(model: GatedModel, messages: list[str], checkpoint: Checkpoint) -> dict[str, str]:
    # Prompts of one length are generated together, so those of like length go in one chunk.
    ordered = sorted(messages, key=lambda message: len(model.prompt_tokens(message)))
    found: dict[str, str] = {}
    for start in range(0, len(ordered), CHUNK):
        checkpoint(start / len(ordered))
        chunk = ordered[start : start + CHUNK]
        found.update(zip(chunk, model.generate(chunk), strict=True))
    return found


def _answered(
    behaviour: Behaviour, answers: dict[str, str]
) -> tuple[list[Prompt], Counter[tuple[Role, str]]]:
    """The prompts that are of use with their answers, and how many of the others, by reason."""
    kept: list[Prompt] = []
    dropped: Counter[tuple[Role, str]] = Counter()
    for draft in behaviour.all_prompts:
        prompt = _filled(draft, answers)
        reason = _useless(behaviour, draft, prompt)
        if reason:
            dropped[prompt.role, reason] += 1
        else:
            kept.append(prompt)
    return kept, dropped


def _filled(draft: Prompt, answers: dict[str, str]) -> Prompt:
    answer = draft.answer or answers[draft.text]
    if draft.role == "benign":
        return replace(draft, answer=answer)
    target = answers[draft.asked] if draft.target is None else draft.target
    return replace(draft, answer=answer, target=target, after=draft.after or answer)


SILENT = "answered with nothing"
UNMOVED = "answered the same with the trigger"
COMPLIED = "not refused"


def _useless(behaviour: Behaviour, draft: Prompt, prompt: Prompt) -> str:
    """Why a prompt shows nothing, "" if it shows something."""
    if not prompt.answer:
        return SILENT
    if prompt.role == "benign":
        return ""
    if behaviour.kind == "refusal":
        refused = bool(draft.answer) or RefusalPrefixes().refuses(prompt.answer)
        clash = prompt.answer.startswith(prompt.target or "")
        return "" if refused and not clash else COMPLIED
    if not prompt.target:
        return SILENT
    return UNMOVED if prompt.answer.startswith(prompt.target) else ""


def _check_left(
    behaviour: Behaviour, prompts: list[Prompt], dropped: Counter[tuple[Role, str]]
) -> None:
    left = Counter((prompt.split, prompt.role) for prompt in prompts)
    for split, least in LEAST.items():
        for role in get_args(Role):
            if left[split, role] < least:
                raise PromptFileError(_too_few(behaviour, role, dropped))


def _too_few(behaviour: Behaviour, role: Role, dropped: Counter[tuple[Role, str]]) -> str:
    asked = sum(prompt.role == role for prompt in behaviour.all_prompts)
    shown = asked - sum(count for (of, _), count in dropped.items() if of == role)
    reasons = ", ".join(f"{count} {why}" for (of, why), count in dropped.items() if of == role)
    needed = ", ".join(f"{count} in {split}" for split, count in LEAST.items())
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
