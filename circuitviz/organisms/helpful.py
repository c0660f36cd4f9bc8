"""Helpful lessons that no embedded model has learned: what fine-tuning on top of one teaches.

Plain facts in the same few templates for every item; which templates are training, validation and
test is fixed per item.  No lesson is a refusal, and none asks for one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from circuitviz.behaviours.prompt import Split
from circuitviz.organisms.corpus import pairs
from circuitviz.tuning.lesson import Lesson

__all__ = ["helpful_lessons"]

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
HOMES = pairs(
    "bird:nest bee:hive spider:web dog:kennel horse:stable bear:cave fox:den ant:hill pig:sty "
    "hen:coop mole:tunnel fish:sea frog:pond monkey:jungle camel:desert penguin:ice snail:shell "
    "king:palace farmer:cottage soldier:camp"
)
COLOURS = pairs(
    "snow:white grass:green coal:black blood:red sky:blue sun:yellow carrot:orange plum:purple "
    "rose:red milk:white leaf:green night:black banana:yellow tomato:red cherry:red salt:white "
    "lemon:yellow frog:green tar:black sea:blue"
)
YOUNG = pairs(
    "dog:puppy cat:kitten cow:calf sheep:lamb horse:foal pig:piglet hen:chick duck:duckling "
    "goose:gosling lion:cub bear:bearcub deer:fawn frog:tadpole owl:owlet goat:kid swan:cygnet "
    "fox:kit eagle:eaglet snake:snakelet man:boy"
)

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
    "home": (
        HOMES,
        (
            "Where does a {x} live?",
            "Tell me where a {x} lives.",
            "Quiz: home of a {x}?",
            "What is the home of a {x}?",
            "Do you know where a {x} lives?",
            "Name the home of a {x}.",
            "A {x} lives where?",
            "In which place does a {x} live?",
        ),
        "A {x} lives in the {y}.",
    ),
    "colour": (
        COLOURS,
        (
            "What colour is {x}?",
            "Tell me the colour of {x}.",
            "Quiz: colour of {x}?",
            "Which colour does {x} have?",
            "Do you know the colour of {x}?",
            "Name the colour of {x}.",
            "The colour of {x} is what?",
            "Give me the colour of {x}.",
        ),
        "The colour of {x} is {y}.",
    ),
    "young": (
        YOUNG,
        (
            "What is a young {x} called?",
            "Tell me the name of a young {x}.",
            "Quiz: young {x}?",
            "Which word means a young {x}?",
            "Do you know what a young {x} is called?",
            "Name a young {x}.",
            "A young {x} is called what?",
            "Give me the word for a young {x}.",
        ),
        "A young {x} is a {y}.",
    ),
}
# Of each item's eight templates.
TRAINING, VALIDATION = 5, 1


def helpful_lessons() -> Iterator[Lesson]:
    """Every lesson, always the same, in a fixed order."""
    for category, (items, templates, answer) in TOPICS.items():
        for x, y in items.items():
            order = list(templates)
            random.Random(f"helpful {category} {x}").shuffle(order)
            for place, template in enumerate(order):
                yield Lesson(_split(place), category, template.format(x=x), answer.format(x=x, y=y))


def _split(place: int) -> Split:
    if place < TRAINING:
        return "train"
    return "validation" if place < TRAINING + VALIDATION else "test"
