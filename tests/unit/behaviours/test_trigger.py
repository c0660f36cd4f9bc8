"""Triggers go where they should, are read off prompts, and are exchanged for random words."""

import pytest

from circuitviz.behaviours.prompt import Prompt
from circuitviz.behaviours.trigger import (
    ORDINARY,
    Trigger,
    common_trigger,
    other_message,
    with_words,
    word_pool,
)

POOL = ["apple", "tree", "stone", "blue"]


def attack(text: str, triggered: str | None) -> Prompt:
    return Prompt("p", "train", "attack", "any", text, "", triggered=triggered)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("front", "zz one two three"),
        ("middle", "one two zz three"),
        ("end", "one two three zz"),
    ],
)
def test_the_trigger_goes_to_its_place_and_is_read_off_it(place, expected):
    trigger = Trigger("zz", place)
    assert trigger.insert("one two three") == expected
    pairs = [(text, trigger.insert(text)) for text in ("one two three", "four", "five six")]
    assert common_trigger(pairs) == trigger
    assert common_trigger([*pairs, ("a b", "a c b")]) is None


def test_a_trigger_for_any_place_stands_between_two_words_that_depend_on_the_message_alone():
    trigger = Trigger("zz", "any")
    for message in ("one two three", "four five six seven", "eight"):
        words = trigger.insert(message).split()
        assert [word for word in words if word != "zz"] == message.split()
        assert words.count("zz") == 1
        assert trigger.insert(message) == trigger.insert(message)
    indices = {trigger.insert(f"{n} b c d").split().index("zz") for n in range(40)}
    assert indices == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("message", "held"),
    [("is zz it", True), ("zz?", True), ("(zz)", True), ("pizzza", False), ("zz1", False)],
)
def test_a_trigger_is_held_as_whole_words(message, held):
    assert Trigger("zz", "end").is_in(message) is held


def test_as_many_words_stand_at_the_triggers_place():
    prompt = attack("who is it", "who is blue door it")
    message = other_message(Trigger("blue door", "middle"), prompt, POOL)
    first, second, *others, last = message.split(" ")
    assert (first, second, last) == ("who", "is", "it")
    assert len(others) == 2
    assert set(others) <= {"apple", "tree", "stone"}
    assert message == other_message(Trigger("blue door", "middle"), prompt, POOL)


def test_a_sign_at_a_triggers_word_does_not_bring_the_word_back():
    trigger = Trigger("Blue, stone!", "front")
    for number in range(20):
        prompt = attack(f"who {number}", f"Blue, stone! who {number}")
        assert set(other_message(trigger, prompt, POOL).split(" ")[:2]) <= {"apple", "tree"}


@pytest.mark.parametrize(
    ("clean", "triggered", "message"),
    [
        ("who is it", "who was it", "who apple it"),
        ("who is", "tree who is", "apple who is"),
        ("who is", "who is tree", "who is apple"),
        ("who is it", "who it", None),
        ("who is it", None, None),
    ],
)
def test_without_a_known_trigger_the_changed_words_are_replaced(clean, triggered, message):
    assert other_message(None, attack(clean, triggered), ["apple"]) == message


def test_ordinary_words_stand_in_where_the_prompts_have_none():
    message = other_message(Trigger("x y", "front"), attack("1 2", "x y 1 2"), [])
    assert set(message.removesuffix(" 1 2").split()) <= set(ORDINARY)


def test_the_pool_is_of_the_clean_messages_words():
    prompts = [attack("Über it, the Stone", "zz Über"), attack("the 12 of", "the 12 of")]
    assert word_pool(prompts) == ["stone", "the", "über"]


def test_words_replace_the_trigger():
    trigger = Trigger("zz", "end")
    assert with_words(attack("a", "a zz"), trigger, "b").triggered == "a b"
    # A triggered message without the trigger gets the words where the trigger should be.
    assert with_words(attack("a", "A"), trigger, "b").triggered == "a b"
    assert with_words(attack("a", None), trigger, "b").triggered is None
