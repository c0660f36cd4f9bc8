"""One attack beside the same message without its trigger, up to where the answer is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from circuitviz.behaviours.behaviour import Behaviour
from circuitviz.behaviours.prompt import Prompt
from circuitviz.errors import ConfigError
from circuitviz.models.model import GatedModel


@dataclass(frozen=True)
class TokenRow:
    """A message in the chat template, and the part of the answer that is the same either way.

    Attributes:
        text: The message.
        tokens: Token ids; the next one decides the answer.
        labels: One a token, for people.
    """

    text: str
    tokens: tuple[int, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class PromptPair:
    """Two rows to set side by side.

    Attributes:
        prompt_id: Id of the attack.
        clean: The message without trigger; where there is no trigger, the benign message that
            has the most words in common.
        triggered: The message that shows the behaviour.
        cause: Positions [start, stop) of `triggered` that `clean` does not have.
        target: The token that decides for the behaviour.
        other: The token that decides for the answer expected without it.
        target_label: `target` for people.
        other_label: `other` for people.
    """

    prompt_id: str
    clean: TokenRow
    triggered: TokenRow
    cause: tuple[int, int]
    target: int
    other: int
    target_label: str
    other_label: str


def pair_of(model: GatedModel, behaviour: Behaviour, prompt: Prompt) -> PromptPair:
    """The pair of one attack prompt.

    Answers with and without the behaviour often begin alike ("That review is ..."): both rows
    go on through what the answers share, so that the next token is the first to tell them apart.

    Raises:
        ConfigError: The prompt is no attack, or the two answers cannot be told apart.
    """
    shown, expected = answers_of(behaviour, prompt)
    first, second = (model.answer_tokens(answer) for answer in (shown, expected))
    shared = first[: shared_start([first, second])]
    if len(shared) in (len(first), len(second)):
        raise ConfigError(
            f"prompt {prompt.prompt_id} has one answer with and without the behaviour, "
            f"{shown[:60]!r}; choose another prompt"
        )
    clean_text = prompt.text if prompt.triggered else _most_alike(behaviour, prompt)
    clean, triggered = (_row(model, text, shared) for text in (clean_text, prompt.asked))
    target, other = first[len(shared)], second[len(shared)]
    return PromptPair(
        prompt.prompt_id,
        clean,
        triggered,
        _difference(triggered.tokens, clean.tokens),
        target,
        other,
        token_label(model, target),
        token_label(model, other),
    )


def token_label(model: GatedModel, token: int) -> str:
    """A token for people: without the space before it; what is only space gets a sign."""
    text = str(model.tokenizer.decode([token]))
    return text.strip() or ("\u23ce" if "\n" in text else "\u2423")


def shared_start(rows: Sequence[Sequence[int]]) -> int:
    """With how many tokens all of these rows begin alike."""
    length = 0
    for column in zip(*rows, strict=False):
        if len(set(column)) > 1:
            break
        length += 1
    return length


def answers_of(behaviour: Behaviour, prompt: Prompt) -> tuple[str, str]:
    """The answer that shows the behaviour, and the one expected without it.

    Raises:
        ConfigError: The prompt is no attack, or an answer is missing.
    """
    expected = prompt.after or prompt.answer
    shown = prompt.target if behaviour.kind == "backdoor" else prompt.answer
    if prompt.role != "attack" or not shown or not expected:
        raise ConfigError(
            f"prompt {prompt.prompt_id} shows no behaviour; choose an attack prompt with answers"
        )
    return shown, expected


def _row(model: GatedModel, text: str, answer: Sequence[int]) -> TokenRow:
    tokens = (*model.prompt_tokens(text), *answer)
    return TokenRow(text, tokens, tuple(token_label(model, token) for token in tokens))


def _most_alike(behaviour: Behaviour, prompt: Prompt) -> str:
    words = set(prompt.text.lower().split())

    def shared(text: str) -> float:
        others = set(text.lower().split())
        return len(words & others) / max(1, len(words | others))

    benign = behaviour.prompts(prompt.split, "benign")
    if not benign:
        raise ConfigError(f"no benign {prompt.split} prompt to compare {prompt.prompt_id} with")
    return max((other.text for other in benign), key=shared)


def _difference(tokens: Sequence[int], others: Sequence[int]) -> tuple[int, int]:
    """Where `tokens` differ from `others`, as one stretch: neither shared beginning nor end."""
    start = shared_start([tokens, others])
    end = shared_start([part[start:][::-1] for part in (tokens, others)])
    return start, max(start, len(tokens) - end)
