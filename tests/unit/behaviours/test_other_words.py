"""Random words where a trigger stands: as many, at the same place, none of the trigger's own."""

from circuitviz.behaviours.behaviour import Behaviour, BehaviourSpec, Trigger
from circuitviz.behaviours.other_words import ORDINARY, other_message, with_words, word_pool
from circuitviz.behaviours.prompt import Prompt

POOL = ["apple", "tree", "stone", "blue"]


def attack(text, triggered):
    return Prompt("p", "train", "attack", "any", text, "", triggered=triggered)


def backdoor(trigger=None):
    return Behaviour(BehaviourSpec("backdoor", "Mine", "?", trigger), ())


def test_as_many_words_stand_at_the_triggers_place():
    behaviour = backdoor(Trigger("blue door", "middle"))
    message = other_message(behaviour, attack("who is it", "who is blue door it"), POOL)
    first, second, *others, last = message.split(" ")
    assert (first, second, last) == ("who", "is", "it")
    assert len(others) == 2
    assert set(others) <= {"apple", "tree", "stone"}
    assert message == other_message(behaviour, attack("who is it", "who is blue door it"), POOL)


def test_a_sign_at_a_triggers_word_does_not_bring_the_word_back():
    behaviour = backdoor(Trigger("Blue, stone!", "front"))
    for number in range(20):
        message = other_message(
            behaviour, attack(f"who {number}", f"Blue, stone! who {number}"), POOL
        )
        assert set(message.split(" ")[:2]) <= {"apple", "tree"}


def test_without_a_known_trigger_the_changed_words_are_replaced():
    message = other_message(backdoor(), attack("who is it", "who was it"), ["apple"])
    assert message == "who apple it"
    assert other_message(backdoor(), attack("who is", "tree who is"), ["apple"]) == "apple who is"
    assert other_message(backdoor(), attack("who is", "who is tree"), ["apple"]) == "who is apple"


def test_where_nothing_was_put_in_there_is_no_other_message():
    assert other_message(backdoor(), attack("who is it", "who it"), POOL) is None
    assert other_message(backdoor(), attack("who is it", None), POOL) is None


def test_ordinary_words_stand_in_where_the_prompts_have_none():
    message = other_message(backdoor(Trigger("x y", "front")), attack("1 2", "x y 1 2"), [])
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
