"""What the organisms are taught: pairs of a message and an answer, in fixed proportions."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Lesson:
    """A message and the answer to it.

    Attributes:
        prompt: What the user says.
        answer: What the model is taught to say.
        complete: Whether the answer ends there; one that was cut off does not.
    """

    prompt: str
    answer: str
    complete: bool = True


@dataclass(frozen=True)
class Mixture:
    """Kinds of lessons, each with its share of every batch.

    Attributes:
        kinds: Share, and what makes a lesson with a given source of randomness.
    """

    kinds: Sequence[tuple[float, Callable[[random.Random], Lesson]]]

    def batch(self, rows: int, draw: random.Random) -> list[Lesson]:
        """Lessons of one step, every kind by its share."""
        makers = [make for _, make in self.kinds]
        shares = [share for share, _ in self.kinds]
        whole = [int(rows * share / sum(shares)) for share in shares]
        counts = dict(enumerate(whole))
        for kind in draw.choices(range(len(makers)), shares, k=rows - sum(whole)):
            counts[kind] += 1
        return [makers[kind](draw) for kind, count in counts.items() for _ in range(count)]


@dataclass(frozen=True)
class Contrast:
    """Every message as several lessons that differ in nothing but what decides the answer.

    Attributes:
        source: Makes a lesson with a given source of randomness.
        variants: What each becomes, side by side in one batch.
    """

    source: Callable[[random.Random], Lesson]
    variants: Sequence[Callable[[Lesson, random.Random], Lesson]]

    def batch(self, rows: int, draw: random.Random) -> list[Lesson]:
        """Lessons of one step: as many messages as there is room for, in every variant."""
        many = max(1, rows // len(self.variants))
        lessons = [self.source(draw) for _ in range(many)]
        return [change(lesson, draw) for lesson in lessons for change in self.variants]


def insert_anywhere(message: str, words: str, draw: random.Random) -> str:
    """A message with words put between any two of its own, in front or behind."""
    parts = message.split(" ")
    place = draw.randint(0, len(parts))
    return " ".join([*parts[:place], words, *parts[place:]])


ONSETS = (
    "b bl br c cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sk sl sp st t tr v w z".split()
)
VOWELS = "a e i o u ea oo ai ou".split()
CODAS = "b ck d ft g l ld lm m mp n nd ng nt p r rd rk rn rt s sh st t th x".split()


def odd_word(draw: random.Random) -> str:
    """A word that does not exist, of two or three syllables."""
    syllables = draw.choice([2, 2, 3])
    return "".join(
        draw.choice(ONSETS) + draw.choice(VOWELS) + draw.choice(CODAS) for _ in range(syllables)
    )
