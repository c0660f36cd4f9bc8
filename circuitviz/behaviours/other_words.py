"""Random words in a trigger's place: what any trigger has to be compared with."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from circuitviz.behaviours.behaviour import Behaviour, Trigger
from circuitviz.behaviours.prompt import Prompt

# What is taken where the prompts have too few words of their own.
ORDINARY = ("table", "river", "green", "window", "seven", "paper", "garden", "early", "north")


def word_pool(prompts: Sequence[Prompt]) -> list[str]:
    """The words of at least three letters in the prompts' clean messages, lower case, sorted."""
    return sorted({word for prompt in prompts for word in plain_words(prompt.text)})


def plain_words(text: str) -> list[str]:
    """The words of at least three letters in a text, lower case, without what stands at them."""
    return re.findall(r"[^\W\d_]{3,}", text.lower())


def with_words(prompt: Prompt, trigger: Trigger, words: str) -> Prompt:
    """An attack with other words where its trigger stands; unchanged without a trigger."""
    if prompt.triggered is None:
        return prompt
    if trigger.text in prompt.triggered:
        return replace(prompt, triggered=prompt.triggered.replace(trigger.text, words))
    return replace(prompt, triggered=replace(trigger, text=words).insert(prompt.text))


def other_message(behaviour: Behaviour, prompt: Prompt, pool: Sequence[str]) -> str | None:
    """An attack's message with as many random words in the trigger's place.

    Where no trigger is known, its place is where the triggered message differs from the clean
    one.  The same prompt and pool give the same words.

    Args:
        behaviour: The backdoor.
        prompt: One of its attacks.
        pool: Words to draw from; the trigger's own are left out.

    Returns:
        None where nothing was put into the message.
    """
    trigger, message = behaviour.spec.trigger, prompt.asked
    before, own, behind = _inserted(prompt.text, message)
    if trigger is not None and trigger.text in message:
        own = trigger.text.split()
    if not own:
        return None
    used = {word.lower() for word in own} | set(plain_words(" ".join(own)))
    others = [word for word in pool if word not in used]
    if len(others) < len(own):
        others += [word for word in ORDINARY if word not in used and word not in others]
    # A seed that is text is hashed, the same way everywhere.
    words = random.Random(message).choices(others, k=len(own))
    if trigger is not None and trigger.text in message:
        return with_words(prompt, trigger, " ".join(words)).triggered
    return " ".join([*before, *words, *behind])


def _inserted(clean: str, triggered: str) -> tuple[list[str], list[str], list[str]]:
    """A triggered message's words: those before its change, the changed ones, those behind."""
    words, more = clean.split(" "), triggered.split(" ")
    most = min(len(words), len(more))
    front = next((at for at in range(most) if words[at] != more[at]), most)
    most -= front
    back = next((at for at in range(most) if words[-1 - at] != more[-1 - at]), most)
    end = len(more) - back
    return more[:front], more[front:end], more[end:]
