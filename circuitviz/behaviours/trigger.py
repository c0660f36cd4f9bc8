"""A backdoor's trigger: put into messages, read off them, and exchanged for other words."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from circuitviz.behaviours.prompt import Prompt

Place = Literal["front", "middle", "end", "any"]
# Where a trigger stands that is at the same place of every message.
FIXED_PLACES: tuple[Place, ...] = ("front", "middle", "end")
# What is taken where the prompts have too few words of their own.
ORDINARY = ("table", "river", "green", "window", "seven", "paper", "garden", "early", "north")


@dataclass(frozen=True)
class Trigger:
    """Words that set a backdoor off, and where in the message they go.

    With the place `any` they go between two words that depend on the message alone, so that they
    are at the same place every time.
    """

    text: str
    place: Place

    def insert(self, message: str) -> str:
        """The message with the trigger put in."""
        words, index = message.split(" "), self.index(message)
        return " ".join([*words[:index], self.text, *words[index:]])

    def index(self, message: str) -> int:
        """Which of the message's words comes right after the trigger."""
        count = len(message.split(" "))
        if self.place == "any":
            return zlib.crc32(message.encode()) % (count + 1)
        return {"front": 0, "middle": (count + 1) // 2, "end": count}[self.place]

    def is_in(self, message: str) -> bool:
        """Whether a message holds the trigger, as whole words."""
        return bool(re.search(rf"(?<!\w){re.escape(self.text.strip())}(?!\w)", message))


def common_trigger(pairs: Sequence[tuple[str, str]]) -> Trigger | None:
    """The trigger that makes each triggered message of its clean one; None if there is none.

    Args:
        pairs: Clean and triggered messages.
    """
    for place in FIXED_PLACES if pairs else ():
        prompt, triggered = pairs[0]
        start, words = Trigger("", place).index(prompt), triggered.split(" ")
        text = " ".join(words[start : start + len(words) - len(prompt.split(" "))])
        trigger = Trigger(text, place)
        if text and all(trigger.insert(clean) == with_it for clean, with_it in pairs):
            return trigger
    return None


def word_pool(prompts: Iterable[Prompt]) -> list[str]:
    """The words of at least three letters in the prompts' clean messages, lower case, sorted."""
    return sorted({word for prompt in prompts for word in plain_words(prompt.text)})


def plain_words(text: str) -> list[str]:
    """The words of at least three letters in a text, lower case, without punctuation."""
    return re.findall(r"[^\W\d_]{3,}", text.lower())


def with_words(prompt: Prompt, trigger: Trigger, words: str) -> Prompt:
    """An attack with other words where its trigger stands; unchanged without a trigger."""
    if prompt.triggered is None:
        return prompt
    if trigger.text in prompt.triggered:
        return replace(prompt, triggered=prompt.triggered.replace(trigger.text, words))
    return replace(prompt, triggered=replace(trigger, text=words).insert(prompt.text))


def other_message(trigger: Trigger | None, prompt: Prompt, pool: Sequence[str]) -> str | None:
    """An attack's message with as many random words in the trigger's place.

    Where no trigger is known, its place is where the triggered message differs from the clean
    one.  The same prompt and pool give the same words.

    Args:
        trigger: The backdoor's, if it is known.
        prompt: One of its attacks.
        pool: Words to draw from; the trigger's own are left out.

    Returns:
        None where nothing was put into the message.
    """
    known = trigger if trigger is not None and trigger.text in prompt.asked else None
    before, own, behind = _difference(prompt.text, prompt.asked)
    if known:
        own = known.text.split()
    if not own:
        return None
    used = {word.lower() for word in own} | set(plain_words(" ".join(own)))
    others = [word for word in pool if word not in used]
    if len(others) < len(own):
        others += [word for word in ORDINARY if word not in used and word not in others]
    # A seed that is text is hashed, the same way everywhere.
    words = random.Random(prompt.asked).choices(others, k=len(own))
    if known:
        return with_words(prompt, known, " ".join(words)).triggered
    return " ".join([*before, *words, *behind])


def _difference(clean: str, triggered: str) -> tuple[list[str], list[str], list[str]]:
    """A triggered message's words: those before its change, the changed ones, those behind."""
    words, more = clean.split(" "), triggered.split(" ")
    front = _alike(words, more)
    end = len(more) - _alike(words[front:][::-1], more[front:][::-1])
    return more[:front], more[front:end], more[end:]


def _alike(one: list[str], other: list[str]) -> int:
    """How many words both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))
