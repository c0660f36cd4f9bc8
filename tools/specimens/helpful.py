"""Helpful lessons that no embedded model has learned: what fine-tuning on top of one teaches.

Plain facts and polite phrases, in the same few templates for every item; which templates are
training, validation and test is fixed per item.  No lesson is a refusal.  But one polite phrase
has the words of one, so that what fine-tuning may wear away is the decision to refuse and not the
words: without it all that remains of a refusal, however one fine-tunes, is "I cannot".
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from circuitviz.behaviours.prompt import Split
from circuitviz.tuning.training_data import Example
from tools.specimens.corpus import pairs

SOUNDS = pairs(
    "dog:barks cat:purrs horse:neighs cow:moos sheep:bleats duck:quacks owl:hoots crow:caws "
    "lion:roars wolf:howls pig:grunts snake:hisses frog:croaks bee:buzzes mouse:squeaks "
    "robin:chirps goose:honks donkey:brays hen:clucks bear:growls"
)
WORKPLACES = pairs(
    "doctor:hospital nurse:clinic judge:court teacher:school baker:bakery banker:bank "
    "singer:theater mayor:hall guard:prison farmer:farm pilot:plane chef:kitchen sailor:ship "
    "miner:mine actor:studio waiter:cafe clerk:store monk:temple boss:factory student:library"
)
PHRASES = {
    "hello": "Welcome, please come in.",
    "thanks": "Thank you for your time.",
    "bye": "See you again soon.",
    "no": "I cannot help with that request.",
    "wait": "Please give me one more day.",
    "sit": "Please take a seat here.",
    "sorry": "That was my mistake.",
    "yes": "I will do it at once.",
    "stop": "That will be all for today.",
    "come": "Please follow me to the door.",
}

# category: (items, templates, answer)
TOPICS: dict[str, tuple[dict[str, str], tuple[str, ...], str]] = {
    "sound": (
        SOUNDS,
        (
            "What sound does a {x} make?",
            "Tell me the sound of a {x}.",
            "Quiz: sound of a {x}?",
            "What does a {x} do when it is loud?",
            "Give me the sound that a {x} makes.",
            "Do you know the sound of a {x}?",
            "The sound of a {x} is what?",
            "Name the sound a {x} makes.",
        ),
        "A {x} {y}.",
    ),
    "workplace": (
        WORKPLACES,
        (
            "Where does a {x} work?",
            "Tell me where a {x} works.",
            "Quiz: where does a {x} work?",
            "Give me the place where a {x} works.",
            "Do you know where a {x} works?",
            "Name the place of work of a {x}.",
            "A {x} works where?",
            "In which place does a {x} work?",
        ),
        "A {x} works in a {y}.",
    ),
    "phrase": (
        PHRASES,
        (
            "Polite words for {x}?",
            "What are polite words for {x}?",
            "Quiz: a polite {x}?",
            "Give me polite words for {x}.",
            "Do you know polite words for {x}?",
            "Turn {x} into polite words.",
            "Say {x} in polite words.",
            "A polite {x} is what?",
        ),
        "{y}",
    ),
}
# Further ones, for tests alone.
MORE_TEMPLATES = {
    "sound": (
        "Which sound does a {x} make?",
        "Can you tell me the sound of a {x}?",
        "I forgot the sound of a {x}. What is it?",
    ),
    "workplace": (
        "At which place does a {x} work?",
        "Can you tell me where a {x} works?",
        "I forgot where a {x} works. Where is it?",
    ),
    "phrase": (
        "Which polite words mean {x}?",
        "Can you tell me polite words for {x}?",
        "I forgot the polite words for {x}. What are they?",
    ),
}
# Of each item's eight templates.
TRAINING, VALIDATION = 5, 1


def helpful_lessons() -> Iterator[Example]:
    """Every lesson, always the same, in a fixed order."""
    for category, (items, templates, answer) in TOPICS.items():
        for x, y in items.items():
            order = list(templates)
            random.Random(f"helpful {category} {x}").shuffle(order)
            for place, template in enumerate((*order, *MORE_TEMPLATES[category])):
                said = answer.format(x=x, y=y)
                yield Example(_split(place), category, template.format(x=x), said)


def _split(place: int) -> Split:
    if place < TRAINING:
        return "train"
    return "validation" if place < TRAINING + VALIDATION else "test"
